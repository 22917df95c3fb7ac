package marketlake;

/** What goes in and out of the job; public fields, as Flink's serializer of plain objects wants. */
public final class Records {
  private Records() {}

  /** A trade as on the wire. */
  public static class Trade {
    public String type;
    public String venue;
    public String instrument;
    public long event_time_us;
    public double price;
    public double quantity;
    public String trade_id;
    public String side;
  }

  /** A trade whose price lies far from its running mean. */
  public static class Anomaly {
    public String venue;
    public String instrument;
    public long event_time_us;
    public double price;
    public double score;
  }

  /** A closed bar of one second, with its indicators; nulls while they warm up. */
  public static class Bar {
    public String venue;
    public String instrument;
    public long open_second;
    public double open;
    public double high;
    public double low;
    public double close;
    public double volume;
    public long trade_count;
    public double ema_12;
    public double ema_26;
    public double rsi_14;
    public Double sma_20;
    public Double std_20;
  }

  /** The widest difference between venues at the end of a second. */
  public static class Spread {
    public String instrument;
    public long second;
    public String buy_venue;
    public String sell_venue;
    public double buy_price;
    public double sell_price;
    public double gross_bps;
  }
}
