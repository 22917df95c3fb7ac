package marketlake;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/** The folds of one instrument over its trades, in the order of their arrival. */
public class MarketFunction extends KeyedProcessFunction<String, Records.Trade, Records.Trade> {
  static final OutputTag<Records.Anomaly> ANOMALIES =
      new OutputTag<>("anomalies", TypeInformation.of(Records.Anomaly.class));
  static final OutputTag<Records.Bar> BARS =
      new OutputTag<>("bars", TypeInformation.of(Records.Bar.class));
  static final OutputTag<Records.Spread> SPREADS =
      new OutputTag<>("spreads", TypeInformation.of(Records.Spread.class));
  private static final double ENTER_SCORE = 4;

  private transient ValueState<InstrumentState> kept;

  @Override
  public void open(OpenContext context) {
    kept =
        getRuntimeContext()
            .getState(new ValueStateDescriptor<>("instrument", InstrumentState.class));
  }

  @Override
  public void processElement(Records.Trade trade, Context context, Collector<Records.Trade> out)
      throws Exception {
    if (!(trade.price > 0 && trade.quantity >= 0)) {
      return;
    }
    InstrumentState state = kept.value();
    if (state == null) {
      state = new InstrumentState();
    }
    long second = trade.event_time_us / 1_000_000;
    if (second != state.second) {
      if (state.second >= 0) {
        closeSecond(state, trade.instrument, context);
      }
      state.second = second;
    }
    InstrumentState.VenueState venue = state.venue(trade.venue);
    venue.take(trade.price, trade.quantity);
    double score = venue.score(trade.price);
    if (Math.abs(score) > ENTER_SCORE) {
      context.output(ANOMALIES, anomaly(trade, score));
    }
    kept.update(state);
    out.collect(trade);
  }

  private static void closeSecond(InstrumentState state, String instrument, Context context) {
    int lowest = 0;
    int highest = 0;
    for (int i = 0; i < state.venues; i++) {
      InstrumentState.VenueState venue = state.states[i];
      lowest = venue.lastPrice < state.states[lowest].lastPrice ? i : lowest;
      highest = venue.lastPrice > state.states[highest].lastPrice ? i : highest;
      if (venue.tradeCount > 0) {
        context.output(BARS, venue.close(state.names[i], instrument, state.second));
      }
    }
    Records.Spread spread = new Records.Spread();
    spread.instrument = instrument;
    spread.second = state.second;
    spread.buy_venue = state.names[lowest];
    spread.sell_venue = state.names[highest];
    spread.buy_price = state.states[lowest].lastPrice;
    spread.sell_price = state.states[highest].lastPrice;
    double middle = (spread.buy_price + spread.sell_price) / 2;
    spread.gross_bps = (spread.sell_price - spread.buy_price) / middle * 1e4;
    context.output(SPREADS, spread);
  }

  private static Records.Anomaly anomaly(Records.Trade trade, double score) {
    Records.Anomaly anomaly = new Records.Anomaly();
    anomaly.venue = trade.venue;
    anomaly.instrument = trade.instrument;
    anomaly.event_time_us = trade.event_time_us;
    anomaly.price = trade.price;
    anomaly.score = score;
    return anomaly;
  }
}
