//! The TA-Lib function that each indicator must equal.

use ta_lib::{Core, MAType, OutRange, RetCode};

use crate::market::{Kind, Market};

/// Unit of the values.
#[derive(Debug, Clone, Copy)]
pub enum Unit {
    Price,
    Variance,
    Volume,
    Percent,
    /// Degrees of a line through prices.
    Angle,
    Ratio,
}

type Reference = Box<dyn Fn(&Market) -> Vec<Vec<f64>>>;

/// An indicator, the outputs of it that are compared, and TA-Lib's values for them.
pub struct Case {
    pub item: String,
    pub outputs: Vec<usize>,
    pub windowed: bool,
    /// TA-Lib's running sums are further than the tolerance from its own value of a window.
    pub alone: bool,
    /// True for a candlestick pattern.
    pub pattern: bool,
    pub unit: Unit,
    pub tolerance: f64,
    pub reference: Reference,
    not: Vec<Kind>,
}

impl Case {
    pub fn fits(&self, kind: Kind) -> bool {
        !self.not.contains(&kind)
    }
}

type Outcome = Result<OutRange, RetCode>;

/// TA-Lib's outputs, moved to the bars they belong to; `NaN` before.
fn align<const N: usize>(
    len: usize,
    call: impl FnOnce(usize, [&mut [f64]; N]) -> Outcome,
) -> Vec<Vec<f64>> {
    let mut raw = [(); N].map(|()| vec![0.0; len]);
    let range = call(len - 1, raw.each_mut().map(Vec::as_mut_slice)).unwrap();
    raw.into_iter()
        .map(|values| {
            let mut column = vec![f64::NAN; len];
            column[range.beg_idx..range.beg_idx + range.count]
                .copy_from_slice(&values[..range.count]);
            column
        })
        .collect()
}

/// The same for a pattern, whose values are whole numbers.
fn pattern(len: usize, call: impl FnOnce(usize, &mut [i32]) -> Outcome) -> Vec<Vec<f64>> {
    let mut raw = vec![0; len];
    let range = call(len - 1, &mut raw).unwrap();
    let mut column = vec![f64::NAN; len];
    for (slot, value) in column[range.beg_idx..].iter_mut().zip(&raw[..range.count]) {
        *slot = f64::from(*value);
    }
    vec![column]
}

fn case(item: String, outputs: usize, windowed: bool, unit: Unit, reference: Reference) -> Case {
    Case {
        alone: item.starts_with("linreg") || item.starts_with("tsf"),
        item,
        outputs: (0..outputs).collect(),
        windowed,
        pattern: false,
        unit,
        tolerance: 1e-9,
        reference,
        not: Vec::new(),
    }
}

/// The case before is not compared over these markets.
fn exclude(list: &mut [Case], kinds: &[Kind]) {
    if let Some(case) = list.last_mut() {
        case.not = kinds.to_vec();
    }
}

macro_rules! case {
    ($list:ident, $memory:ident, $unit:ident, $item:expr, $core:ident, $m:ident, $last:ident, [$($out:ident),+] => $call:expr) => {
        $list.push(case(
            $item,
            [$(stringify!($out)),+].len(),
            stringify!($memory) == "windowed",
            Unit::$unit,
            Box::new(move |$m: &Market| {
                let $core = Core::new();
                align($m.len(), |$last, [$($out),+]| $call)
            }),
        ))
    };
}

/// Every indicator that TA-Lib has, with periods around `n` (at least 2).
#[allow(clippy::too_many_lines)] // a table
pub fn cases(n: usize) -> Vec<Case> {
    let p = i32::try_from(n).unwrap();
    let (half, double) = (p / 2 + 1, 2 * p.min(250) + 1);
    let sma = MAType::SMA;
    let mut l = Vec::new();
    case!(l, windowed, Price, format!("sma({n})"), core, m, e, [o] => core.sma(0, e, &m.close, p, o));
    case!(l, recursive, Price, format!("ema({n})"), core, m, e, [o] => core.ema(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("wma({n})"), core, m, e, [o] => core.wma(0, e, &m.close, p, o));
    case!(l, recursive, Price, format!("dema({n})"), core, m, e, [o] => core.dema(0, e, &m.close, p, o));
    case!(l, recursive, Price, format!("tema({n})"), core, m, e, [o] => core.tema(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("trima({n})"), core, m, e, [o] => core.trima(0, e, &m.close, p, o));
    case!(l, recursive, Price, format!("kama({n})"), core, m, e, [o] => core.kama(0, e, &m.close, p, o));
    // its running sum keeps the rounding of the spike, and it is recursive
    exclude(&mut l, &[Kind::Spike]);
    case!(l, recursive, Price, format!("rma({n})"), core, m, e, [o] => core.rma(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("hma({n})"), core, m, e, [o] => core.hma(0, e, &m.close, p, o));
    case!(l, recursive, Price, format!("t3({n},0.7)"), core, m, e, [o] => core.t3(0, e, &m.close, p, 0.7, o));
    case!(l, windowed, Price, format!("vwma({n})"), core, m, e, [o] => core.vwma(0, e, &m.close, &m.volume, p, o));
    case!(l, windowed, Price, format!("linreg({n})"), core, m, e, [o] => core.linearreg(0, e, &m.close, p, o));
    // at one place in the window the spike weighs nothing: what is left is its rounding
    exclude(&mut l, &[Kind::Spike]);
    case!(l, windowed, Price, format!("linreg_slope({n})"), core, m, e, [o] => core.linearreg_slope(0, e, &m.close, p, o));
    exclude(&mut l, &[Kind::Spike]);
    case!(l, recursive, Percent, format!("rsi({n})"), core, m, e, [o] => core.rsi(0, e, &m.close, p, o));
    case!(l, windowed, Percent, format!("stoch({n},3,{half})"), core, m, e, [k, d] => core.stoch(0, e, &m.high, &m.low, &m.close, p, 3, sma, half, sma, k, d));
    case!(l, windowed, Percent, format!("stochf({n},3)"), core, m, e, [k, d] => core.stochf(0, e, &m.high, &m.low, &m.close, p, 3, sma, k, d));
    case!(l, recursive, Percent, format!("stochrsi({n},{half},3)"), core, m, e, [k, d] => core.stochrsi(0, e, &m.close, p, half, 3, sma, k, d));
    // the place in a range that is itself made of rounding
    exclude(&mut l, &[Kind::Spike, Kind::Stretches]);
    case!(l, recursive, Price, format!("macd({n},{double},9)"), core, m, e, [a, b, c] => core.macd(0, e, &m.close, p, double, 9, a, b, c));
    case!(l, recursive, Percent, format!("ppo({n},{double})"), core, m, e, [o] => core.ppo(0, e, &m.close, p, double, MAType::EMA, o));
    case!(l, recursive, Price, format!("apo({n},{double})"), core, m, e, [o] => core.apo(0, e, &m.close, p, double, MAType::EMA, o));
    case!(l, windowed, Percent, format!("roc({n})"), core, m, e, [o] => core.roc(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("mom({n})"), core, m, e, [o] => core.mom(0, e, &m.close, p, o));
    case!(l, windowed, Percent, format!("willr({n})"), core, m, e, [o] => core.willr(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, windowed, Percent, format!("cci({n})"), core, m, e, [o] => core.cci(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Percent, format!("cmo({n})"), core, m, e, [o] => core.cmo(0, e, &m.close, p, o));
    case!(l, windowed, Percent, format!("mfi({n})"), core, m, e, [o] => core.mfi(0, e, &m.high, &m.low, &m.close, &m.volume, p, o));
    case!(l, recursive, Percent, format!("trix({n})"), core, m, e, [o] => core.trix(0, e, &m.close, p, o));
    case!(l, windowed, Percent, format!("ultosc({},{n},{double})", half.min(p)), core, m, e, [o] => core.ultosc(0, e, &m.high, &m.low, &m.close, half.min(p), p, double, o));
    case!(l, windowed, Percent, format!("aroon({n})"), core, m, e, [d, u, x] => {
        core.aroonosc(0, e, &m.high, &m.low, p, x)?;
        core.aroon(0, e, &m.high, &m.low, p, d, u)
    });
    case!(l, windowed, Ratio, "bop".into(), core, m, e, [o] => core.bop(0, e, &m.open, &m.high, &m.low, &m.close, o));
    case!(l, windowed, Ratio, format!("vortex({n})"), core, m, e, [a, b] => core.vortex(0, e, &m.high, &m.low, &m.close, p, a, b));
    case!(l, recursive, Percent, format!("adx({n})"), core, m, e, [o] => core.adx(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Percent, format!("adxr({n})"), core, m, e, [o] => core.adxr(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Percent, format!("dx({n})"), core, m, e, [o] => core.dx(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Percent, format!("plus_di({n})"), core, m, e, [o] => core.plus_di(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Percent, format!("minus_di({n})"), core, m, e, [o] => core.minus_di(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Price, "sar(0.02,0.2)".into(), core, m, e, [o] => core.sar(0, e, &m.high, &m.low, 0.02, 0.2, o));
    case!(l, recursive, Price, format!("supertrend({n},3)"), core, m, e, [o, d] => {
        let mut direction = vec![0; m.len()];
        let range = core.supertrend(0, e, &m.high, &m.low, &m.close, p, 3.0, o, &mut direction)?;
        for (slot, value) in d.iter_mut().zip(&direction) {
            *slot = f64::from(*value);
        }
        Ok(range)
    });
    if n == 6 {
        // a spike of s has its middle at s / 2 and three ranges of s / 6 below it: what is left of
        // that are the last digits of 1e15
        exclude(&mut l, &[Kind::Spike]);
    }
    case!(l, windowed, Price, format!("ichimoku({half},{n},{double},1)"), core, m, e, [t, k, a, b] => core.ichimoku(0, e, &m.high, &m.low, half, p, double, t, k, a, b));
    case!(l, windowed, Price, "trange".into(), core, m, e, [o] => core.trange(0, e, &m.high, &m.low, &m.close, o));
    case!(l, recursive, Price, format!("atr({n})"), core, m, e, [o] => core.atr(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, recursive, Percent, format!("natr({n})"), core, m, e, [o] => core.natr(0, e, &m.high, &m.low, &m.close, p, o));
    case!(l, windowed, Price, format!("bb({n},2)"), core, m, e, [a, b, c] => core.bbands(0, e, &m.close, p, 2.0, 2.0, sma, a, b, c));
    case!(l, windowed, Ratio, format!("bb({n},2)"), core, m, e, [o] => {
        let range = core.percentb(0, e, &m.close, p, 2.0, 2.0, sma, o)?;
        // TA-Lib says 0.5 where the bands have no width; there is no share of nothing
        for (at, value) in o[..range.count].iter_mut().enumerate() {
            let last = range.beg_idx + at;
            let closes = &m.close[last + 1 - n..=last];
            if closes.iter().all(|close| close.to_bits() == closes[0].to_bits()) {
                *value = f64::NAN;
            }
        }
        Ok(range)
    });
    if let Some(case) = l.last_mut() {
        case.outputs = vec![4];
        // and 0 or 0.5 where the width is rounding; in bars of a minute the bands are a few 1e-4 of
        // the price apart, so that the last digit of a price is 1e-12 of the share
        case.not = vec![Kind::Stretches, Kind::Real];
    }
    case!(l, recursive, Price, format!("kc({n},{half},2)"), core, m, e, [a, b, c] => core.kc(0, e, &m.high, &m.low, &m.close, p, half, 2.0, a, b, c));
    case!(l, windowed, Price, format!("dc({n})"), core, m, e, [a, b, c] => core.donchian(0, e, &m.high, &m.low, p, a, b, c));
    case!(l, windowed, Price, format!("stddev({n})"), core, m, e, [o] => core.stddev(0, e, &m.close, p, 1.0, o));
    case!(l, windowed, Variance, format!("var({n})"), core, m, e, [o] => core.var(0, e, &m.close, p, 1.0, o));
    case!(l, recursive, Volume, "obv".into(), core, m, e, [o] => core.obv(0, e, &m.close, &m.volume, o));
    case!(l, recursive, Volume, "ad".into(), core, m, e, [o] => core.ad(0, e, &m.high, &m.low, &m.close, &m.volume, o));
    case!(l, recursive, Volume, format!("adosc({n},{double})"), core, m, e, [o] => core.adosc(0, e, &m.high, &m.low, &m.close, &m.volume, p, double, o));
    case!(l, windowed, Ratio, format!("cmf({n})"), core, m, e, [o] => core.cmf(0, e, &m.high, &m.low, &m.close, &m.volume, p, o));
    case!(l, recursive, Price, "vwap_cumulative".into(), core, m, e, [o] => core.vwap(0, e, &m.high, &m.low, &m.close, &m.volume, o));
    case!(l, windowed, Volume, format!("volume_sma({n})"), core, m, e, [o] => core.sma(0, e, &m.volume, p, o));
    more(&mut l, n);
    for (name, reference) in patterns() {
        let mut case = case(name.to_owned(), 1, false, Unit::Percent, reference);
        case.pattern = true;
        // where bodies are 0 its running sums are not
        case.not = vec![Kind::Stretches, Kind::Spike];
        l.push(case);
    }
    l
}

/// The rest of the table.
fn more(l: &mut Vec<Case>, n: usize) {
    let p = i32::try_from(n).unwrap();
    case!(l, windowed, Price, format!("midpoint({n})"), core, m, e, [o] => core.midpoint(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("midprice({n})"), core, m, e, [o] => core.midprice(0, e, &m.high, &m.low, p, o));
    case!(l, windowed, Ratio, format!("rocp({n})"), core, m, e, [o] => core.rocp(0, e, &m.close, p, o));
    case!(l, windowed, Ratio, format!("rocr({n})"), core, m, e, [o] => core.rocr(0, e, &m.close, p, o));
    case!(l, windowed, Percent, format!("rocr100({n})"), core, m, e, [o] => core.rocr100(0, e, &m.close, p, o));
    case!(l, recursive, Price, format!("plus_dm({n})"), core, m, e, [o] => core.plus_dm(0, e, &m.high, &m.low, p, o));
    case!(l, recursive, Price, format!("minus_dm({n})"), core, m, e, [o] => core.minus_dm(0, e, &m.high, &m.low, p, o));
    case!(l, recursive, Price, format!("macdfix({n})"), core, m, e, [a, b, c] => core.macdfix(0, e, &m.close, p, a, b, c));
    case!(l, windowed, Angle, format!("linreg_angle({n})"), core, m, e, [o] => core.linearreg_angle(0, e, &m.close, p, o));
    exclude(l, &[Kind::Spike]);
    case!(l, windowed, Price, format!("linreg_intercept({n})"), core, m, e, [o] => core.linearreg_intercept(0, e, &m.close, p, o));
    exclude(l, &[Kind::Spike]);
    case!(l, windowed, Price, format!("tsf({n})"), core, m, e, [o] => core.tsf(0, e, &m.close, p, o));
    exclude(l, &[Kind::Spike]);
    case!(l, windowed, Price, format!("avgdev({n})"), core, m, e, [o] => core.avgdev(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("sum({n})"), core, m, e, [o] => core.sum(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("min({n})"), core, m, e, [o] => core.min(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("max({n})"), core, m, e, [o] => core.max(0, e, &m.close, p, o));
    case!(l, windowed, Price, format!("minmax({n})"), core, m, e, [a, b] => core.minmax(0, e, &m.close, p, a, b));
    case!(l, windowed, Price, "medprice".into(), core, m, e, [o] => core.medprice(0, e, &m.high, &m.low, o));
    case!(l, windowed, Price, "typprice".into(), core, m, e, [o] => core.typprice(0, e, &m.high, &m.low, &m.close, o));
    case!(l, windowed, Price, "wclprice".into(), core, m, e, [o] => core.wclprice(0, e, &m.high, &m.low, &m.close, o));
    case!(l, windowed, Price, "avgprice".into(), core, m, e, [o] => core.avgprice(0, e, &m.open, &m.high, &m.low, &m.close, o));
    case!(l, windowed, Percent, format!("imi({n})"), core, m, e, [o] => core.imi(0, e, &m.open, &m.close, p, o));
}

macro_rules! patterns {
    ($($name:literal => $function:ident($($argument:literal)?);)+) => {
        fn patterns() -> Vec<(&'static str, Reference)> {
            vec![$((
                $name,
                Box::new(|m: &Market| {
                    pattern(m.len(), |e, out| {
                        Core::new().$function(0, e, &m.open, &m.high, &m.low, &m.close, $($argument,)? out)
                    })
                }) as Reference,
            )),+]
        }
    };
}

patterns! {
    "doji" => cdldoji();
    "hammer" => cdlhammer();
    "hanging_man" => cdlhangingman();
    "shooting_star" => cdlshootingstar();
    "inverted_hammer" => cdlinvertedhammer();
    "engulfing" => cdlengulfing();
    "harami" => cdlharami();
    "morning_star" => cdlmorningstar(0.3);
    "evening_star" => cdleveningstar(0.3);
    "piercing" => cdlpiercing();
    "dark_cloud_cover" => cdldarkcloudcover(0.5);
    "three_white_soldiers" => cdl3whitesoldiers();
    "three_black_crows" => cdl3blackcrows();
    "belt_hold" => cdlbelthold();
    "closing_marubozu" => cdlclosingmarubozu();
    "dragonfly_doji" => cdldragonflydoji();
    "gravestone_doji" => cdlgravestonedoji();
    "high_wave" => cdlhighwave();
    "long_legged_doji" => cdllongleggeddoji();
    "long_line" => cdllongline();
    "marubozu" => cdlmarubozu();
    "rickshaw_man" => cdlrickshawman();
    "short_line" => cdlshortline();
    "spinning_top" => cdlspinningtop();
    "takuri" => cdltakuri();
    "counterattack" => cdlcounterattack();
    "doji_star" => cdldojistar();
    "harami_cross" => cdlharamicross();
    "homing_pigeon" => cdlhomingpigeon();
    "in_neck" => cdlinneck();
    "on_neck" => cdlonneck();
    "thrusting" => cdlthrusting();
    "kicking" => cdlkicking();
    "kicking_by_length" => cdlkickingbylength();
    "matching_low" => cdlmatchinglow();
    "separating_lines" => cdlseparatinglines();
    "abandoned_baby" => cdlabandonedbaby(0.3);
    "evening_doji_star" => cdleveningdojistar(0.3);
    "morning_doji_star" => cdlmorningdojistar(0.3);
    "tristar" => cdltristar();
    "two_crows" => cdl2crows();
    "three_inside" => cdl3inside();
    "three_outside" => cdl3outside();
    "three_stars_in_south" => cdl3starsinsouth();
    "advance_block" => cdladvanceblock();
    "stalled_pattern" => cdlstalledpattern();
    "gap_side_white" => cdlgapsidesidewhite();
    "identical_three_crows" => cdlidentical3crows();
    "stick_sandwich" => cdlsticksandwich();
    "tasuki_gap" => cdltasukigap();
    "unique_three_river" => cdlunique3river();
    "upside_gap_two_crows" => cdlupsidegap2crows();
    "side_gap_three_methods" => cdlxsidegap3methods();
    "three_line_strike" => cdl3linestrike();
    "breakaway" => cdlbreakaway();
    "conceal_baby_swallow" => cdlconcealbabyswall();
    "ladder_bottom" => cdlladderbottom();
    "mat_hold" => cdlmathold(0.5);
    "rise_fall_three_methods" => cdlrisefall3methods();
    "hikkake" => cdlhikkake();
    "hikkake_mod" => cdlhikkakemod();
}
