package marketlake;

/** All that is kept of one instrument: its open second, and what each venue has done. */
public class InstrumentState {
  static final int MOST_VENUES = 8;
  static final int WINDOW = 20;

  public long second = -1;
  public int venues;
  public String[] names = new String[MOST_VENUES];
  public VenueState[] states = new VenueState[MOST_VENUES];

  /** State of one venue: the open bar, its indicators, the running mean of the price. */
  public static class VenueState {
    public double lastPrice;
    public double open;
    public double high;
    public double low;
    public double volume;
    public long tradeCount;
    public double ema12;
    public double ema26;
    public double gain;
    public double loss;
    public double previousClose;
    public long bars;
    public double[] closes = new double[WINDOW];
    public double mean;
    public double variance;
    public long trades;

    void take(double price, double quantity) {
      lastPrice = price;
      if (tradeCount == 0) {
        open = price;
        high = price;
        low = price;
        volume = 0;
      }
      high = Math.max(high, price);
      low = Math.min(low, price);
      volume += quantity;
      tradeCount++;
    }

    /** Score of a price against the running mean before it; NaN in the first hundred trades. */
    double score(double price) {
      if (trades == 0) {
        mean = price;
      }
      double difference = price - mean;
      double score = trades >= 100 ? difference / Math.sqrt(variance + 1e-12) : Double.NaN;
      mean += 0.01 * difference;
      variance = 0.99 * (variance + 0.01 * difference * difference);
      trades++;
      return score;
    }

    /** Ends the open bar and takes its close into the indicators. */
    Records.Bar close(String venue, String instrument, long second) {
      double close = lastPrice;
      if (bars == 0) {
        ema12 = close;
        ema26 = close;
      } else {
        ema12 += 2 / 13.0 * (close - ema12);
        ema26 += 2 / 27.0 * (close - ema26);
        double change = close - previousClose;
        double weight = bars == 1 ? 1.0 : 1 / 14.0;
        gain += (Math.max(change, 0) - gain) * weight;
        loss += (Math.max(-change, 0) - loss) * weight;
      }
      previousClose = close;
      closes[(int) (bars % WINDOW)] = close;
      bars++;
      Records.Bar bar = new Records.Bar();
      bar.venue = venue;
      bar.instrument = instrument;
      bar.open_second = second;
      bar.open = open;
      bar.high = high;
      bar.low = low;
      bar.close = close;
      bar.volume = volume;
      bar.trade_count = tradeCount;
      bar.ema_12 = ema12;
      bar.ema_26 = ema26;
      bar.rsi_14 = gain + loss > 0 ? 100 * gain / (gain + loss) : 50;
      if (bars >= WINDOW) {
        window(bar);
      }
      tradeCount = 0;
      return bar;
    }

    private void window(Records.Bar bar) {
      double average = 0;
      for (double close : closes) {
        average += close / WINDOW;
      }
      double squares = 0;
      for (double close : closes) {
        squares += (close - average) * (close - average);
      }
      bar.sma_20 = average;
      bar.std_20 = Math.sqrt(squares / WINDOW);
    }
  }

  VenueState venue(String name) {
    for (int i = 0; i < venues; i++) {
      if (names[i].equals(name)) {
        return states[i];
      }
    }
    names[venues] = name;
    states[venues] = new VenueState();
    return states[venues++];
  }
}
