//! Presets: facts about the files of a vendor that their header does not show.

use clap::ValueEnum;

use crate::market::Zone;

/// A vendor or program whose files are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Yahoo Finance: its downloads and `yfinance`, of one or several symbols.
    Yahoo,
    /// `TradingView`: Export chart data.
    Tradingview,
    /// Binance: monthly and daily files of klines or trades, with or without a header.
    Binance,
    /// Kraken: files of OHLCVT or of trades, without a header.
    Kraken,
    /// Stooq: the download of one symbol, and the bulk files.
    Stooq,
    /// `MetaTrader` 4 and 5: Export bars.
    Mt5,
    /// Alpha Vantage: `datatype=csv`.
    Alphavantage,
    /// Polygon (Massive): flat files of aggregates.
    #[value(alias = "massive")]
    Polygon,
    /// Databento: OHLCV in CSV, prices in decimals or fixed-point.
    Databento,
    /// Dukascopy: historical data export.
    Dukascopy,
    /// CryptoDataDownload.
    Cryptodatadownload,
    /// Tushare: `daily` and `stk_mins`, saved by pandas.
    Tushare,
}

impl Preset {
    /// The columns of a file without a header that is `width` columns wide.
    pub(super) fn columns(self, width: usize) -> Option<&'static [&'static str]> {
        Some(match (self, width) {
            // files of trades, and of aggregated trades
            (Self::Binance, 7) => &["trade_id", "price", "size", "-", "time", "-", "-"],
            (Self::Binance, 8) => &["trade_id", "price", "size", "-", "-", "time", "-", "-"],
            (Self::Kraken, 3) => &["time", "price", "size"],
            // open time, prices, volume; close time and quote volumes are left out
            (Self::Binance, 6..) => &["time", "open", "high", "low", "close", "volume"],
            (Self::Kraken, 6 | 7) => &["time", "open", "high", "low", "close", "volume", "-"],
            // the rows of its API have the average price before the volume
            (Self::Kraken, 8) => &["time", "open", "high", "low", "close", "-", "volume", "-"],
            (Self::Mt5, 7..) => &["date", "clock", "open", "high", "low", "close", "volume"],
            (Self::Mt5, 6) => &["date", "open", "high", "low", "close", "volume"],
            (Self::Dukascopy, 6) | (Self::Tradingview, 6) => {
                &["time", "open", "high", "low", "close", "volume"]
            }
            (Self::Stooq, 10) => &[
                "symbol",
                "timeframe",
                "date",
                "clock",
                "open",
                "high",
                "low",
                "close",
                "volume",
                "-",
            ],
            (Self::Stooq, 6) => &["date", "open", "high", "low", "close", "volume"],
            _ => return None,
        })
    }

    /// The zone of times of day without an offset.
    pub(super) fn zone(self) -> Option<Zone> {
        match self {
            Self::Alphavantage => "America/New_York".parse().ok(),
            Self::Tushare => "Asia/Shanghai".parse().ok(),
            Self::Binance | Self::Kraken | Self::Dukascopy | Self::Cryptodatadownload => {
                Some(Zone::UTC)
            }
            _ => None,
        }
    }

    /// A note for the user of such a file.
    pub(super) const fn note(self) -> Option<&'static str> {
        match self {
            Self::Alphavantage => Some(
                "times of day are read as those of New York, as Alpha Vantage has them for shares; \
                 for currencies they are in UTC: --timezone UTC",
            ),
            Self::Mt5 => Some(
                "MetaTrader writes times of day by the clock of the broker's server; if that is not \
                 UTC, name its zone: --timezone Europe/Athens",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_knows_its_zone_wherever_it_has_one() {
        let zone = |preset: Preset| preset.zone().map(|zone| zone.to_string());
        assert_eq!(
            zone(Preset::Alphavantage).as_deref(),
            Some("America/New_York")
        );
        assert_eq!(zone(Preset::Tushare).as_deref(), Some("Asia/Shanghai"));
        assert_eq!(zone(Preset::Binance).as_deref(), Some("UTC"));
        assert_eq!(zone(Preset::Yahoo), None);
    }
}
