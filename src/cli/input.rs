//! Options for reading files of bars.

use clap::Args;

use super::values::{delimiter, symbol};
use crate::config::Config;
use crate::market::{Timeframe, Timestamp, Zone};
use crate::tools::bars_file::{Format, Preset, ReadOptions, TimeFormat};
use crate::wire::{Decoder, time_of_text};

/// The options for reading files of bars.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "Reading files")]
pub struct InputArgs {
    /// Format of the input (default: by the extension, else by the content). Files packed with
    /// gzip, zstd or zip are recognised by their content
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Vendor of the files: reads files without a header, times in the vendor's zone and prices in
    /// the vendor's unit
    #[arg(long, value_enum, hide_possible_values = false)]
    pub preset: Option<Preset>,
    /// Symbol of every row of a table, whatever its columns say, and of JSON that names none
    #[arg(long, value_name = "S", value_parser = symbol)]
    pub symbol: Option<String>,
    /// Timeframe of every row of a table, whatever its columns say, and of JSON that names none
    /// (default: by the column, else by the distance of the rows)
    #[arg(long, value_name = "T")]
    pub timeframe: Option<Timeframe>,
    /// Columns of a table in order, if it has no header or unknown names: time, date, clock (the
    /// time of day), open, high, low, close, volume, symbol, timeframe, final, source, or - for a
    /// column to ignore
    #[arg(
        long,
        value_name = "A,B,…",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub columns: Option<Vec<String>>,
    /// Form of the times in a table: s, ms, us, ns (an epoch), excel (a day number), or a pattern
    /// such as %d/%m/%Y %H:%M
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<TimeFormat>,
    /// Zone of times without an offset, such as America/New_York (default: that of the preset or of
    /// the header, else TECHNICAL_TIMEZONE)
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<Zone>,
    /// Separator of the cells of a table (default: the one of , ; tab | that fits)
    #[arg(long, value_name = "C", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Only bars that open at this time or later: 2026-01-31, 2026-01-31T14:30 (in --timezone), or with
    /// an offset
    #[arg(long, value_name = "TIME")]
    pub from: Option<FileTime>,
    /// Only bars that open before this time, in the same forms
    #[arg(long, value_name = "TIME")]
    pub to: Option<FileTime>,
}

impl InputArgs {
    /// The options for the files of this command under `config`.
    #[must_use]
    pub fn options(&self, config: &Config) -> ReadOptions {
        let default_zone = config.input.zone.clone();
        let zone = self.timezone.as_ref().unwrap_or(&default_zone);
        ReadOptions {
            symbol: self.symbol.clone(),
            timeframe: self.timeframe,
            preset: self.preset,
            columns: self.columns.clone(),
            time_format: self.time_format.clone(),
            zone: self.timezone.clone(),
            delimiter: self.delimiter,
            from: self.from.as_ref().map(|time| time.in_zone(zone)),
            to: self.to.as_ref().map(|time| time.in_zone(zone)),
            default_zone,
            default_timeframe: config.input.default_timeframe,
            decoder: Decoder::new(config.input.clone()),
        }
    }
}

/// A time on the command line, which may have no offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTime(String);

impl FileTime {
    fn in_zone(&self, zone: &Zone) -> Timestamp {
        // checked when it was parsed; a time that a zone jumps over is that of UTC
        time_of_text(&self.0, zone)
            .or_else(|_| time_of_text(&self.0, &Zone::UTC))
            .unwrap_or(Timestamp::from_nanos(0))
    }
}

impl std::str::FromStr for FileTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        time_of_text(text, &Zone::UTC).map(|_| Self(text.to_owned()))
    }
}
