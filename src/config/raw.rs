//! The variables as text, before any of them is understood.

use serde::Deserialize;

/// One field per variable, named as the variable is in lower case.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct Raw {
    pub nats_url: Option<String>,
    pub nats_creds_file: Option<String>,
    pub nats_nkey_seed: Option<String>,
    pub nats_user: Option<String>,
    pub nats_password: Option<String>,
    pub nats_token: Option<String>,
    pub nats_tls_ca: Option<String>,
    pub nats_tls_cert: Option<String>,
    pub nats_tls_key: Option<String>,
    pub nats_connect_timeout: Option<String>,
    pub nats_jetstream_domain: Option<String>,
    pub nats_jetstream_prefix: Option<String>,
    pub log_level: Option<String>,
    pub log_format: Option<String>,
    pub log_dir: Option<String>,
    pub shutdown_timeout: Option<String>,
    pub technical_watchdog_secs: Option<String>,
    pub http_addr: Option<String>,
    pub http_admin_token: Option<String>,
    pub technical_agent_name: Option<String>,
    pub technical_group: Option<String>,
    pub technical_group_secret: Option<String>,
    pub technical_delivery: Option<String>,
    pub technical_subjects: Option<String>,
    pub technical_publish_subject: Option<String>,
    pub technical_forming_subject: Option<String>,
    pub technical_dead_letter_subject: Option<String>,
    pub technical_max_payload_bytes: Option<String>,
    pub technical_default_timeframe: Option<String>,
    pub technical_final: Option<String>,
    pub technical_timezone: Option<String>,
    pub technical_timestamp: Option<String>,
    pub technical_grid: Option<String>,
    pub technical_prices: Option<String>,
    pub technical_dialect: Option<String>,
    pub technical_data_window_size: Option<String>,
    pub technical_min_bars_required: Option<String>,
    pub technical_publish_frequency: Option<String>,
    pub technical_rsi_period: Option<String>,
    pub technical_rsi_overbought: Option<String>,
    pub technical_rsi_oversold: Option<String>,
    pub technical_macd_fast: Option<String>,
    pub technical_macd_slow: Option<String>,
    pub technical_macd_signal: Option<String>,
    pub technical_bb_period: Option<String>,
    pub technical_bb_std: Option<String>,
    pub technical_sma_short: Option<String>,
    pub technical_sma_long: Option<String>,
    pub technical_ema_short: Option<String>,
    pub technical_ema_long: Option<String>,
    pub technical_volume_sma_period: Option<String>,
    pub technical_indicators: Option<String>,
    pub technical_timeframes: Option<String>,
    pub technical_calendar: Option<String>,
    pub technical_max_series: Option<String>,
    pub technical_series_idle_secs: Option<String>,
    pub technical_partitions: Option<String>,
    pub technical_bars_stream: Option<String>,
    pub technical_input_stream: Option<String>,
    pub technical_signals_stream: Option<String>,
    pub technical_stream_replicas: Option<String>,
    pub technical_stream_storage: Option<String>,
    pub technical_stream_placement_cluster: Option<String>,
    pub technical_stream_placement_tags: Option<String>,
    pub technical_bars_per_series: Option<String>,
    pub technical_bars_max_age_secs: Option<String>,
    pub technical_signals_max_age_secs: Option<String>,
    pub technical_bars_max_bytes: Option<String>,
    pub technical_signals_max_bytes: Option<String>,
    pub technical_lease_secs: Option<String>,
    pub technical_checkpoint_secs: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::keys;

    #[test]
    fn the_fields_are_the_listed_variables() {
        let fields = serde_json::to_value(Raw::default()).unwrap();
        let fields: BTreeSet<String> = fields.as_object().unwrap().keys().cloned().collect();
        let listed: BTreeSet<String> = keys::all().map(|k| k.name.to_lowercase()).collect();
        assert_eq!(fields, listed);
    }
}
