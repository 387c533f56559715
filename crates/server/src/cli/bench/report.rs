//! What a scenario found: named figures with units and targets, printed as a table or as JSON.
//!
//! A scenario only makes [`Figure`]s; how they look is decided here, once.

use super::process::Usage;
use super::stats::Latencies;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Report {
    pub(super) scenario: &'static str,
    /// What was done, in a line.
    pub(super) summary: String,
    pub(super) figures: Vec<Figure>,
    /// What a reader must know to judge the figures.
    pub(super) notes: Vec<String>,
    /// Why the run as a whole broke a promise, such as a lost delivery.
    pub(super) broken: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Figure {
    key: &'static str,
    label: &'static str,
    /// `None` when this system or this run does not tell.
    value: Option<f64>,
    unit: Unit,
    target: Option<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    PerSecond,
    /// Of what happens a few times a second, or less.
    RarePerSecond,
    Percent,
    Ratio,
    Milliseconds,
    Microseconds,
    Mebibytes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl Figure {
    pub(super) fn new(key: &'static str, label: &'static str, value: impl Into<Option<f64>>, unit: Unit) -> Self {
        Self { key, label, value: value.into(), unit, target: None }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
    pub(super) fn count(key: &'static str, label: &'static str, count: u64) -> Self {
        Self::new(key, label, count as f64, Unit::Count)
    }

    pub(super) fn p50(key: &'static str, label: &'static str, latencies: &Latencies) -> Self {
        Self::new(key, label, latencies.p50_ms(), Unit::Milliseconds)
    }

    pub(super) fn p99(key: &'static str, label: &'static str, latencies: &Latencies) -> Self {
        Self::new(key, label, latencies.p99_ms(), Unit::Milliseconds)
    }

    pub(super) fn milliseconds(key: &'static str, label: &'static str, time: Duration) -> Self {
        Self::new(key, label, time.as_secs_f64() * 1000.0, Unit::Milliseconds)
    }

    pub(super) fn mebibytes(key: &'static str, label: &'static str, bytes: u64) -> Self {
        Self::new(key, label, mebibytes(bytes), Unit::Mebibytes)
    }

    /// Memory resident when `usage` was taken.
    pub(super) fn rss(key: &'static str, label: &'static str, usage: Option<Usage>) -> Self {
        Self::new(key, label, usage.map(|usage| mebibytes(usage.rss_bytes)), Unit::Mebibytes)
    }

    /// The most memory ever resident up to `usage`.
    pub(super) fn rss_peak(key: &'static str, label: &'static str, usage: Option<Usage>) -> Self {
        Self::new(key, label, usage.map(|usage| mebibytes(usage.rss_peak_bytes)), Unit::Mebibytes)
    }

    #[must_use]
    pub(super) fn aim(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn is_met(&self) -> Option<bool> {
        Some(self.target?.is_met(self.value?))
    }

    fn to_json(&self) -> Value {
        let mut figure = Map::new();
        figure.insert("value".to_owned(), json!(self.value));
        figure.insert("unit".to_owned(), json!(self.unit.symbol()));
        match self.target {
            Some(Target::AtLeast(bound)) => figure.insert("at_least".to_owned(), json!(bound)),
            Some(Target::AtMost(bound)) => figure.insert("at_most".to_owned(), json!(bound)),
            None => return Value::Object(figure),
        };
        figure.insert("met".to_owned(), json!(self.is_met()));
        Value::Object(figure)
    }

    fn line(&self) -> String {
        let value = self.value.map_or("not known".to_owned(), |value| self.unit.show(value));
        let target = match self.target {
            Some(Target::AtLeast(bound)) => format!("   at least {}", self.unit.show(bound)),
            Some(Target::AtMost(bound)) => format!("   at most {}", self.unit.show(bound)),
            None => String::new(),
        };
        let verdict = match self.is_met() {
            Some(true) => ": met",
            Some(false) => ": MISSED",
            None => "",
        };
        format!("  {:<34}{value:>16}{target}{verdict}", self.label)
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory and files of one run are far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Unit {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::PerSecond | Self::RarePerSecond => "/s",
            Self::Percent => "%",
            Self::Ratio => "ratio",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Mebibytes => "MiB",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Count => grouped(value),
            Self::PerSecond => format!("{}/s", grouped(value)),
            Self::RarePerSecond => format!("{value:.2}/s"),
            Self::Percent => format!("{value:.2} %"),
            Self::Ratio => format!("{value:.3}"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.1} us"),
            Self::Mebibytes => format!("{value:.1} MiB"),
        }
    }
}

/// A whole number with commas: 1,234,567.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Report {
    pub(super) fn table(&self) -> String {
        let mut table = format!("{}: {}\n", self.scenario, self.summary);
        // Writing to a String cannot fail.
        for figure in &self.figures {
            let _ = writeln!(table, "{}", figure.line());
        }
        for note in &self.notes {
            let _ = writeln!(table, "  note: {note}");
        }
        for broken in &self.broken {
            let _ = writeln!(table, "  BROKEN: {broken}");
        }
        table
    }

    pub(super) fn to_json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.key.to_owned(), figure.to_json())).collect();
        json!({
            "scenario": self.scenario,
            "summary": self.summary,
            "figures": figures,
            "notes": self.notes,
            "broken": self.broken,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        Report {
            scenario: "throughput",
            summary: "1 channel per event".to_owned(),
            figures: vec![
                Figure::new("delivered", "delivered", 29_000.4, Unit::PerSecond),
                Figure::new("ratio", "delivered / floor", 0.1234, Unit::Ratio).aim(Target::AtLeast(0.12)),
                Figure::new("accept_p99", "accept p99", 7.0, Unit::Milliseconds).aim(Target::AtMost(5.0)),
                Figure::new("rss", "memory", None, Unit::Mebibytes).aim(Target::AtMost(60.0)),
            ],
            notes: vec!["a note".to_owned()],
            broken: vec![],
        }
    }

    #[test]
    fn a_table_is_aligned_and_says_what_was_met() {
        let expect = "\
throughput: 1 channel per event
  delivered                                 29,000/s
  delivered / floor                            0.123   at least 0.120: met
  accept p99                                 7.00 ms   at most 5.00 ms: MISSED
  memory                                   not known   at most 60.0 MiB
  note: a note
";
        assert_eq!(sample().table(), expect);
    }

    #[test]
    fn json_has_the_same_figures_by_name() {
        let json = sample().to_json();
        assert_eq!(json["figures"]["ratio"], json!({"value": 0.1234, "unit": "ratio", "at_least": 0.12, "met": true}));
        assert_eq!(json["figures"]["rss"]["met"], Value::Null);
        assert_eq!(json["figures"]["delivered"], json!({"value": 29_000.4, "unit": "/s"}));
    }

    #[test]
    fn whole_numbers_have_commas() {
        for (value, expect) in [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(grouped(value), expect);
        }
        assert_eq!(grouped(-123.0), "-123");
    }
}
