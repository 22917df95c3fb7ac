package marketlake;

import java.lang.management.ManagementFactory;
import java.util.Locale;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.formats.json.JsonDeserializationSchema;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/** Arguments: bootstrap, output folder, sign of a result line, then topic=rows for each run. */
public final class MarketJob {
  private static final int CORES = 2;

  private MarketJob() {}

  public static void main(String[] arguments) throws Exception {
    for (int i = 3; i < arguments.length; i++) {
      String[] workload = arguments[i].split("=");
      String line = run(arguments[0], arguments[1] + "/" + workload[0], workload, i > 3);
      if (i == arguments.length - 1) {
        System.out.println(arguments[2] + " " + line);
      }
    }
    System.exit(0);
  }

  private static String run(String bootstrap, String folder, String[] workload, boolean warm)
      throws Exception {
    StreamExecutionEnvironment streams =
        StreamExecutionEnvironment.createLocalEnvironment(CORES, configuration());
    StreamTableEnvironment tables = StreamTableEnvironment.create(streams);
    SingleOutputStreamOperator<Records.Trade> trades =
        streams
            .fromSource(
                source(bootstrap, workload[0]), WatermarkStrategy.noWatermarks(), "trades")
            .keyBy(trade -> trade.instrument)
            .process(new MarketFunction());
    StatementSet sinks = tables.createStatementSet();
    String key = "venue STRING,instrument STRING,";
    sink(tables, sinks, folder, "trades", trades, key + "event_time_us BIGINT,price DOUBLE,"
        + "quantity DOUBLE,trade_id STRING,side STRING");
    sink(tables, sinks, folder, "anomalies", trades.getSideOutput(MarketFunction.ANOMALIES),
        key + "event_time_us BIGINT,price DOUBLE,score DOUBLE");
    sink(tables, sinks, folder, "bars", trades.getSideOutput(MarketFunction.BARS), key
        + "open_second BIGINT,open DOUBLE,high DOUBLE,low DOUBLE,close DOUBLE,volume DOUBLE,"
        + "trade_count BIGINT,ema_12 DOUBLE,ema_26 DOUBLE,rsi_14 DOUBLE,sma_20 DOUBLE,"
        + "std_20 DOUBLE");
    sink(tables, sinks, folder, "spreads", trades.getSideOutput(MarketFunction.SPREADS),
        "instrument STRING,second BIGINT,buy_venue STRING,sell_venue STRING,buy_price DOUBLE,"
            + "sell_price DOUBLE,gross_bps DOUBLE");
    return measure(sinks, Long.parseLong(workload[1]), warm);
  }

  private static String measure(StatementSet sinks, long rows, boolean warm) throws Exception {
    TableResult result = sinks.execute();
    JobClient client = result.getJobClient().orElseThrow();
    while (client.getJobStatus().get() == JobStatus.CREATED
        || client.getJobStatus().get() == JobStatus.INITIALIZING) {
      Thread.sleep(10);
    }
    long startedNs = System.nanoTime();
    double cpuBeforeSeconds = cpuSeconds();
    result.await();
    return String.format(
        Locale.ROOT,
        "{\"contender\": \"flink\", \"rows\": %d, \"wall_s\": %f, \"cpu_s\": %f, \"warm\": %b}",
        rows,
        (System.nanoTime() - startedNs) / 1e9,
        cpuSeconds() - cpuBeforeSeconds,
        warm);
  }

  private static double cpuSeconds() {
    return ((com.sun.management.OperatingSystemMXBean)
                ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime()
        / 1e9;
  }

  private static Configuration configuration() {
    Configuration configuration = new Configuration();
    configuration.setString("execution.checkpointing.interval", "5s");
    configuration.setString("pipeline.object-reuse", "true");
    configuration.setString("pipeline.generic-types", "true");
    configuration.setString("taskmanager.memory.network.max", "256mb");
    configuration.setString("taskmanager.numberOfTaskSlots", Integer.toString(CORES));
    return configuration;
  }

  private static KafkaSource<Records.Trade> source(String bootstrap, String topic) {
    return KafkaSource.<Records.Trade>builder()
        .setBootstrapServers(bootstrap)
        .setTopics(topic)
        .setGroupId("flink" + System.nanoTime())
        .setStartingOffsets(OffsetsInitializer.earliest())
        .setBounded(OffsetsInitializer.latest())
        .setValueOnlyDeserializer(new JsonDeserializationSchema<>(Records.Trade.class))
        .build();
  }

  private static void sink(
      StreamTableEnvironment tables,
      StatementSet sinks,
      String folder,
      String name,
      DataStream<?> rows,
      String columns) {
    StringBuilder names = new StringBuilder();
    StringBuilder typed = new StringBuilder();
    for (String column : columns.split(",")) {
      String[] parts = column.split(" ");
      String comma = names.length() > 0 ? "," : "";
      names.append(comma).append('`').append(parts[0]).append('`');
      typed.append(comma).append('`').append(parts[0]).append("` ").append(parts[1]);
    }
    tables.createTemporaryView("view_" + name, rows);
    tables.executeSql(
        "CREATE TEMPORARY TABLE table_" + name + " (" + typed + ") WITH ('connector'='filesystem',"
            + "'path'='file://" + folder + "/" + name + "','format'='parquet',"
            + "'parquet.compression'='SNAPPY')");
    sinks.addInsertSql("INSERT INTO table_" + name + " SELECT " + names + " FROM view_" + name);
  }
}
