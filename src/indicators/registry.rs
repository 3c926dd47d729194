//! The registry: every indicator of the catalogue, one line each.
//!
//! A line names the struct and its entries. From it come the arm of [`Instance`] that holds
//! it (no boxes, no virtual calls) and its place in [`CATALOGUE`], which is what the
//! configuration, the command line and the docs read.

use serde::{Deserialize, Serialize};
use ta::{Next, Reset};

use super::candles::{
    dark_cloud_cover, doji, engulfing, evening_star, hammer, hanging_man, harami, hikkake,
    inverted_hammer, longer, morning_star, pairs, piercing, shooting_star, single, stars,
    three_black_crows, three_white_soldiers, triples,
};
use super::entry::Entry;
use super::{
    Bars, Values, ad, adosc, adx, adxr, apo, aroon, atr, bollinger, bop, cci, cmf, cmo, dema,
    deviation, directional_movement, donchian, dx, ema, extremes, hma, ichimoku, imi, kama,
    keltner, linreg, linreg_slope, macd, macdfix, mfi, midrange, minus_di, mom, natr, obv, plus_di,
    ppo, price, rate, regression, rma, roc, rsi, sar, sma, stddev, stoch, stoch_rsi, supertrend,
    t3, tema, trima, trix, true_range, ultimate, variance, volume_ratio, volume_sma, vortex, vwap,
    vwma, willr, wma,
};

macro_rules! registry {
    ($($file:ident :: $indicator:ident: $($entry:ident),+;)+) => {
        /// An indicator at work in one series.
        #[derive(Debug, Serialize, Deserialize)]
        #[allow(missing_docs)]
        pub enum Instance {
            $($indicator($file::$indicator),)+
        }

        impl Instance {
            /// Takes in the newest bar and writes the outputs, `NaN` for none.
            #[inline]
            pub fn update(&mut self, bars: Bars<'_>, out: &mut [f64]) {
                match self {
                    $(Self::$indicator(x) => x.next(bars).write(out),)+
                }
            }
        }

        impl Reset for Instance {
            /// Keeps the parameters and forgets every bar.
            fn reset(&mut self) {
                match self {
                    $(Self::$indicator(x) => x.reset(),)+
                }
            }
        }

        impl Clone for Instance {
            fn clone(&self) -> Self {
                match self {
                    $(Self::$indicator(x) => Self::$indicator(x.clone()),)+
                }
            }

            /// Copies in place: no allocation when both are of the same spec.
            #[inline]
            fn clone_from(&mut self, source: &Self) {
                match (self, source) {
                    $((Self::$indicator(to), Self::$indicator(from)) => to.clone_from(from),)+
                    (to, from) => *to = from.clone(),
                }
            }
        }

        $(impl From<$file::$indicator> for Instance {
            fn from(x: $file::$indicator) -> Self {
                Self::$indicator(x)
            }
        })+

        /// Every entry there is.
        pub(super) static CATALOGUE: &[Entry] = &[$($($file::$entry,)+)+];
    };
}

registry! {
    sma::Sma: TALIB;
    ema::Ema: TALIB;
    wma::Wma: TALIB;
    dema::Dema: TALIB;
    tema::Tema: TALIB;
    trima::Trima: TALIB;
    kama::Kama: TALIB;
    rma::Rma: TALIB;
    hma::Hma: TALIB;
    t3::T3: TALIB;
    vwma::Vwma: TALIB;
    linreg::LinReg: TALIB;
    linreg_slope::LinRegSlope: TALIB;
    rsi::Rsi: TALIB, TRADINGVIEW;
    stoch::Stochastic: SLOW_TALIB, SLOW_TRADINGVIEW, FAST_TALIB;
    stoch_rsi::StochRsi: TALIB, TRADINGVIEW;
    macd::Macd: TALIB;
    macd::MacdTv: TRADINGVIEW;
    ppo::Ppo: TALIB;
    apo::Apo: TALIB;
    roc::Roc: TALIB;
    mom::Mom: TALIB;
    willr::Willr: TALIB, TRADINGVIEW;
    cci::Cci: TALIB, TRADINGVIEW;
    cmo::Cmo: TALIB;
    cmo::CmoTv: TRADINGVIEW;
    mfi::Mfi: TALIB, TRADINGVIEW;
    trix::Trix: TALIB;
    ultimate::Ultimate: TALIB;
    aroon::Aroon: TALIB;
    bop::Bop: TALIB;
    vortex::Vortex: TALIB;
    adx::Adx: TALIB, TRADINGVIEW;
    adxr::Adxr: TALIB;
    dx::Dx: TALIB;
    plus_di::PlusDi: TALIB, TRADINGVIEW;
    minus_di::MinusDi: TALIB, TRADINGVIEW;
    sar::Sar: TALIB, TRADINGVIEW;
    supertrend::Supertrend: TALIB, TRADINGVIEW;
    ichimoku::Ichimoku: TALIB, TRADINGVIEW;
    true_range::TrueRange: TALIB, TRADINGVIEW;
    atr::Atr: TALIB, TRADINGVIEW;
    natr::Natr: TALIB;
    bollinger::Bands: TALIB;
    keltner::Keltner: TALIB;
    keltner::KeltnerTv: CHART, PINE;
    donchian::Donchian: TALIB;
    stddev::StdDev: TALIB;
    variance::Variance: TALIB;
    obv::Obv: TALIB, TRADINGVIEW;
    ad::Ad: TALIB;
    adosc::Adosc: TALIB;
    cmf::Cmf: TALIB;
    vwap::Vwap: SESSION, CUMULATIVE;
    vwap::VwapBands: BANDS;
    volume_sma::VolumeSma: TALIB;
    volume_ratio::VolumeRatio: TALIB;
    doji::Doji: TALIB;
    hammer::Hammer: TALIB;
    hanging_man::HangingMan: TALIB;
    shooting_star::ShootingStar: TALIB;
    inverted_hammer::InvertedHammer: TALIB;
    engulfing::Engulfing: TALIB;
    harami::Harami: TALIB;
    morning_star::MorningStar: TALIB;
    evening_star::EveningStar: TALIB;
    piercing::Piercing: TALIB;
    dark_cloud_cover::DarkCloudCover: TALIB;
    three_white_soldiers::ThreeWhiteSoldiers: TALIB;
    three_black_crows::ThreeBlackCrows: TALIB;
    midrange::MidPoint: MIDPOINT;
    midrange::MidPrice: MIDPRICE;
    rate::Rocp: ROCP;
    rate::Rocr: ROCR, ROCR100;
    directional_movement::PlusDm: PLUS_DM;
    directional_movement::MinusDm: MINUS_DM;
    macdfix::MacdFix: TALIB;
    regression::LinRegAngle: ANGLE;
    regression::LinRegIntercept: INTERCEPT;
    regression::Tsf: TSF;
    deviation::AvgDev: TALIB;
    extremes::Sum: SUM;
    extremes::Min: MIN;
    extremes::Max: MAX;
    extremes::MinMax: MINMAX;
    price::MedPrice: MEDPRICE;
    price::TypPrice: TYPPRICE;
    price::WclPrice: WCLPRICE;
    price::AvgPrice: AVGPRICE;
    imi::Imi: TALIB;
    single::BeltHold: BELT_HOLD;
    single::ClosingMarubozu: CLOSING_MARUBOZU;
    single::DragonflyDoji: DRAGONFLY_DOJI;
    single::GravestoneDoji: GRAVESTONE_DOJI;
    single::HighWave: HIGH_WAVE;
    single::LongLeggedDoji: LONG_LEGGED_DOJI;
    single::LongLine: LONG_LINE;
    single::Marubozu: MARUBOZU;
    single::RickshawMan: RICKSHAW_MAN;
    single::ShortLine: SHORT_LINE;
    single::SpinningTop: SPINNING_TOP;
    single::Takuri: TAKURI;
    pairs::Counterattack: COUNTERATTACK;
    pairs::DojiStar: DOJI_STAR;
    pairs::HaramiCross: HARAMI_CROSS;
    pairs::HomingPigeon: HOMING_PIGEON;
    pairs::InNeck: IN_NECK;
    pairs::OnNeck: ON_NECK;
    pairs::Thrusting: THRUSTING;
    pairs::Kicking: KICKING;
    pairs::KickingByLength: KICKING_BY_LENGTH;
    pairs::MatchingLow: MATCHING_LOW;
    pairs::SeparatingLines: SEPARATING_LINES;
    stars::AbandonedBaby: ABANDONED_BABY;
    stars::EveningDojiStar: EVENING_DOJI_STAR;
    stars::MorningDojiStar: MORNING_DOJI_STAR;
    stars::Tristar: TRISTAR;
    triples::TwoCrows: TWO_CROWS;
    triples::ThreeInside: THREE_INSIDE;
    triples::ThreeOutside: THREE_OUTSIDE;
    triples::ThreeStarsInSouth: THREE_STARS_IN_SOUTH;
    triples::AdvanceBlock: ADVANCE_BLOCK;
    triples::StalledPattern: STALLED_PATTERN;
    triples::GapSideWhite: GAP_SIDE_WHITE;
    triples::IdenticalThreeCrows: IDENTICAL_THREE_CROWS;
    triples::StickSandwich: STICK_SANDWICH;
    triples::TasukiGap: TASUKI_GAP;
    triples::UniqueThreeRiver: UNIQUE_THREE_RIVER;
    triples::UpsideGapTwoCrows: UPSIDE_GAP_TWO_CROWS;
    triples::SideGapThreeMethods: SIDE_GAP_THREE_METHODS;
    longer::ThreeLineStrike: THREE_LINE_STRIKE;
    longer::Breakaway: BREAKAWAY;
    longer::ConcealBabySwallow: CONCEAL_BABY_SWALLOW;
    longer::LadderBottom: LADDER_BOTTOM;
    longer::MatHold: MAT_HOLD;
    longer::RiseFallThreeMethods: RISE_FALL_THREE_METHODS;
    hikkake::Hikkake: HIKKAKE;
    hikkake::HikkakeMod: HIKKAKE_MOD;
}
