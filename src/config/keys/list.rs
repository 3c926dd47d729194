//! The variables, by section: one table, in the order in which it is shown.

use super::{Section, derived, or_file, secret, set, unset};

/// Every variable by section.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "NATS",
        keys: &[
            or_file(set(
                "NATS_URL",
                "nats://localhost:4222",
                "nats://a:4222,nats://b:4222",
                "one or more servers, comma-separated (`nats://` or `tls://`), each with its own `user:password@` or `token@` if it needs one",
            )),
            unset(
                "NATS_CREDS_FILE",
                "/etc/nats/agent.creds",
                "authentication by a credentials file (one kind at a time)",
            ),
            secret(
                "NATS_NKEY_SEED",
                "SUAEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPL",
                "authentication by the seed of an nkey",
            ),
            unset(
                "NATS_USER",
                "agent",
                "authentication by user name, with `NATS_PASSWORD`",
            ),
            secret("NATS_PASSWORD", "correct-horse", "password of `NATS_USER`"),
            secret("NATS_TOKEN", "s3cr3t", "authentication by token"),
            unset(
                "NATS_TLS_CA",
                "/etc/nats/ca.pem",
                "PEM file of the authority that signed the server's certificate",
            ),
            unset(
                "NATS_TLS_CERT",
                "/etc/nats/client.pem",
                "PEM file of the client certificate, with `NATS_TLS_KEY` (mutual TLS)",
            ),
            unset(
                "NATS_TLS_KEY",
                "/etc/nats/client-key.pem",
                "PEM file of the client's private key",
            ),
            derived(
                "NATS_CONNECT_TIMEOUT",
                "– (retry for ever)",
                "30",
                "seconds to wait for the first connection",
            ),
            unset(
                "NATS_JETSTREAM_DOMAIN",
                "hub",
                "use the JetStream of this domain, from a leaf node (see docs/deployment/leaf-nodes.md)",
            ),
            unset(
                "NATS_JETSTREAM_PREFIX",
                "JS.market.API",
                "use the JetStream API under this prefix, where an account imports it; instead of a domain",
            ),
        ],
    },
    Section {
        title: "Process, logs and operations",
        keys: &[
            set(
                "LOG_LEVEL",
                "INFO",
                "debug",
                "`TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `OFF`, or a full tracing filter",
            ),
            set(
                "LOG_FORMAT",
                "auto",
                "json",
                "`json`, `pretty`, or `auto`: JSON when standard output is no terminal",
            ),
            unset(
                "LOG_DIR",
                "/var/log/technical",
                "also write `LOG_DIR/<agent name>.log`, rotated daily",
            ),
            set(
                "SHUTDOWN_TIMEOUT",
                "25",
                "10",
                "seconds allowed for the drain",
            ),
            set(
                "TECHNICAL_WATCHDOG_SECS",
                "0",
                "30",
                "end with 70 when a work loop makes no progress for this long (at least the 15 s of `/livez`), for launchers that have no watchdog; 0 is never",
            ),
            set(
                "HTTP_ADDR",
                "127.0.0.1:8080",
                "0.0.0.0:8080",
                "operations endpoint; `off` disables it",
            ),
            secret(
                "HTTP_ADMIN_TOKEN",
                "s3cr3t",
                "bearer token of the admin routes; without it they answer 403",
            ),
        ],
    },
    Section {
        title: "Agent and delivery",
        keys: &[
            derived(
                "TECHNICAL_AGENT_NAME",
                "<group>-<host>-<pid>",
                "technical-1",
                "this process, in logs, metrics, headers and status",
            ),
            set(
                "TECHNICAL_GROUP",
                "technical-analysis",
                "technical-analysis",
                "replicas of one group share the symbols; another group is another, independent analysis",
            ),
            secret(
                "TECHNICAL_GROUP_SECRET",
                "new-secret,old-secret",
                "messages and records of the group are signed with the first of these secrets, comma-separated; all are accepted, an empty one accepts unsigned",
            ),
            set(
                "TECHNICAL_DELIVERY",
                "auto",
                "core",
                "`durable` (JetStream), `core` (plain NATS), or `auto`: durable where it can be had, else core",
            ),
            set(
                "TECHNICAL_SUBJECTS",
                "raw.market_data.price,raw.market_data.price.>",
                "raw.market_data.price.>",
                "market-data subjects, comma-separated; `{symbol}` and `{timeframe}` say where they stand, else the wildcards are the symbol and then the timeframe",
            ),
            set(
                "TECHNICAL_PUBLISH_SUBJECT",
                "insight.technical.{symbol}.{timeframe}",
                "insight.technical.{symbol}.{timeframe}",
                "where signals go; the placeholders are optional",
            ),
            set(
                "TECHNICAL_FORMING_SUBJECT",
                "insight.forming.technical.{symbol}.{timeframe}",
                "insight.forming.technical.{symbol}.{timeframe}",
                "where signals of bars still forming go: plain NATS, never stored",
            ),
            set(
                "TECHNICAL_DEAD_LETTER_SUBJECT",
                "dead.technical",
                "dead.technical",
                "where refused input goes, with the reason in headers",
            ),
            set(
                "TECHNICAL_MAX_PAYLOAD_BYTES",
                "262144",
                "262144",
                "larger input is refused",
            ),
        ],
    },
    Section {
        title: "Input",
        keys: &[
            set(
                "TECHNICAL_DEFAULT_TIMEFRAME",
                "1m",
                "5m",
                "for bars that name none",
            ),
            set(
                "TECHNICAL_FINAL",
                "flag",
                "next",
                "when a bar is complete: `flag`, by its own flag (without one it is), or `next`, when the next of its series comes",
            ),
            set(
                "TECHNICAL_TIMEZONE",
                "UTC",
                "America/New_York",
                "the clocks that times without an offset are read by: a name of the IANA",
            ),
            set(
                "TECHNICAL_TIMESTAMP",
                "open",
                "close",
                "what `timestamp` says of a bar: its `open` or its `close` time",
            ),
            set(
                "TECHNICAL_GRID",
                "refuse",
                "accept",
                "`refuse` bars whose time is not on the grid of their timeframe, or `accept` them",
            ),
            set(
                "TECHNICAL_PRICES",
                "positive",
                "any",
                "`positive` prices only, or `any`: zero and below as well, as of spreads, rates and power",
            ),
            set(
                "TECHNICAL_DIALECT",
                "auto",
                "binance",
                "the shape of messages: `auto` tells vendors apart, `generic` is that of this agent, or one vendor by name",
            ),
        ],
    },
    Section {
        title: "Analysis",
        keys: &[
            set(
                "TECHNICAL_DATA_WINDOW_SIZE",
                "200",
                "200",
                "bars kept per series (symbol × timeframe)",
            ),
            set(
                "TECHNICAL_MIN_BARS_REQUIRED",
                "50",
                "50",
                "bars a series needs before its first signal",
            ),
            set(
                "TECHNICAL_PUBLISH_FREQUENCY",
                "1",
                "5",
                "publish every n-th bar of each series; bars with alerts always are",
            ),
            set(
                "TECHNICAL_RSI_PERIOD",
                "14",
                "14",
                "changes the RSI is smoothed over",
            ),
            set(
                "TECHNICAL_RSI_OVERBOUGHT",
                "70",
                "70",
                "RSI at or above this is overbought",
            ),
            set(
                "TECHNICAL_RSI_OVERSOLD",
                "30",
                "30",
                "RSI at or below this is oversold",
            ),
            set(
                "TECHNICAL_MACD_FAST",
                "12",
                "12",
                "bars of the fast MACD average",
            ),
            set(
                "TECHNICAL_MACD_SLOW",
                "26",
                "26",
                "bars of the slow MACD average",
            ),
            set(
                "TECHNICAL_MACD_SIGNAL",
                "9",
                "9",
                "values of the MACD line in its signal",
            ),
            set(
                "TECHNICAL_BB_PERIOD",
                "20",
                "20",
                "bars of the Bollinger bands",
            ),
            set(
                "TECHNICAL_BB_STD",
                "2.0",
                "2.0",
                "half the width of the Bollinger bands, in standard deviations",
            ),
            set(
                "TECHNICAL_SMA_SHORT",
                "20",
                "20",
                "bars of the short simple average",
            ),
            set(
                "TECHNICAL_SMA_LONG",
                "50",
                "50",
                "bars of the long simple average",
            ),
            set(
                "TECHNICAL_EMA_SHORT",
                "12",
                "12",
                "bars of the short exponential average",
            ),
            set(
                "TECHNICAL_EMA_LONG",
                "26",
                "26",
                "bars of the long exponential average",
            ),
            set(
                "TECHNICAL_VOLUME_SMA_PERIOD",
                "20",
                "20",
                "bars of the average volume",
            ),
            unset(
                "TECHNICAL_INDICATORS",
                "atr(14),adx(14),stoch(14,3,3)",
                "more indicators (see the `indicators` command)",
            ),
            unset(
                "TECHNICAL_TIMEFRAMES",
                "5m,1h,1d",
                "larger bars to derive from the smallest of each symbol, comma-separated: what divides a day evenly, 1d, 1w, 1M (see docs/bars.md)",
            ),
            set(
                "TECHNICAL_CALENDAR",
                "UTC",
                "America/New_York",
                "the zone at whose midnights derived days, weeks and months begin: a name of the IANA",
            ),
            set(
                "TECHNICAL_MAX_SERIES",
                "100000",
                "100000",
                "bound on memory: input for a series beyond it is refused",
            ),
            set(
                "TECHNICAL_SERIES_IDLE_SECS",
                "0",
                "86400",
                "restart a series after a gap of more than this between its bars; 0 is never",
            ),
        ],
    },
    Section {
        title: "Durable delivery",
        keys: &[
            set(
                "TECHNICAL_PARTITIONS",
                "32",
                "32",
                "partitions, at most 512; fixed when the streams are made",
            ),
            set(
                "TECHNICAL_BARS_STREAM",
                "TECHNICAL_BARS",
                "TECHNICAL_BARS",
                "name of the stream of bars",
            ),
            unset(
                "TECHNICAL_INPUT_STREAM",
                "MARKET_COPY",
                "take bars from this stream, where it cannot be found by its subjects: a mirror, or one with sources",
            ),
            set(
                "TECHNICAL_SIGNALS_STREAM",
                "TECHNICAL_SIGNALS",
                "TECHNICAL_SIGNALS",
                "name of the stream of signals",
            ),
            set(
                "TECHNICAL_STREAM_REPLICAS",
                "1",
                "3",
                "copies of each stream in the NATS cluster, 1 to 5",
            ),
            set(
                "TECHNICAL_STREAM_STORAGE",
                "file",
                "memory",
                "`file` or `memory`",
            ),
            unset(
                "TECHNICAL_STREAM_PLACEMENT_CLUSTER",
                "east",
                "keep the streams in this NATS cluster of a super-cluster",
            ),
            unset(
                "TECHNICAL_STREAM_PLACEMENT_TAGS",
                "ssd,zone:a",
                "keep the streams on servers with all of these `server_tags`, comma-separated",
            ),
            unset(
                "TECHNICAL_BARS_PER_SERIES",
                "1000",
                "bars kept per series in the stream; no bound unless set, as a bound drops bars \
                 that were not read yet",
            ),
            set(
                "TECHNICAL_BARS_MAX_AGE_SECS",
                "2592000",
                "604800",
                "bars older than this are dropped from the stream (30 days)",
            ),
            set(
                "TECHNICAL_SIGNALS_MAX_AGE_SECS",
                "604800",
                "86400",
                "signals older than this are dropped from the stream (7 days)",
            ),
            set(
                "TECHNICAL_BARS_MAX_BYTES",
                "0",
                "10737418240",
                "bound on the stream of bars, beyond which the oldest are dropped; 0 is unlimited",
            ),
            set(
                "TECHNICAL_SIGNALS_MAX_BYTES",
                "0",
                "1073741824",
                "bound on the stream of signals, at which analysis waits for room; 0 is unlimited",
            ),
            set(
                "TECHNICAL_LEASE_SECS",
                "6",
                "6",
                "a silent owner is replaced after this",
            ),
            set(
                "TECHNICAL_CHECKPOINT_SECS",
                "10",
                "10",
                "time between checkpoints of a partition",
            ),
        ],
    },
];
