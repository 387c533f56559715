//! What the server's own figures say: how long upkeep held the writer and how many rows it was, and how often the
//! database was called.

use super::connection::Connection;
use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use std::net::SocketAddr;

/// The page of figures of a server, as it is at this moment.
pub(super) struct Figures(String);

impl Figures {
    pub(super) async fn of(server: SocketAddr) -> anyhow::Result<Self> {
        let request = Request::get("/metrics").header("host", server.to_string()).body(Full::new(Bytes::new()))?;
        let answer = Connection::open(server).await?.send(request).await?;
        let page = String::from_utf8(answer.body.to_vec()).context("the figures are not text")?;
        Ok(Self(page))
    }

    /// Calls of the database so far.
    pub(super) fn store_calls(&self) -> anyhow::Result<u64> {
        const NAME: &str = "postrider_store_calls_total ";
        let value = self.0.lines().find_map(|line| line.strip_prefix(NAME));
        value.context("the server's figures do not hold its calls of the database")?.parse().context("not a number")
    }

    /// Rows of a kind of upkeep so far.
    pub(super) fn rows(&self, work: &str) -> u64 {
        self.values("postrider_upkeep_rows_total{", work).map(|(_, rows)| rows).sum()
    }

    /// The bound, in milliseconds, that no piece of this kind of upkeep exceeded: one of those of the histogram, or
    /// `None` when one took longer than all of them. 0 when there was none.
    pub(super) fn longest_ms(&self, work: &str) -> Option<f64> {
        let count: u64 = self.values("postrider_upkeep_duration_seconds_count{", work).map(|(_, count)| count).sum();
        if count == 0 {
            return Some(0.0);
        }
        let buckets = self.values("postrider_upkeep_duration_seconds_bucket{", work);
        buckets
            .filter(|(_, within)| *within == count)
            .filter_map(|(labels, _)| labels.split("le=\"").nth(1)?.split('"').next()?.parse::<f64>().ok())
            .filter(|bound| bound.is_finite())
            .map(|bound| bound * 1000.0)
            .min_by(f64::total_cmp)
    }

    /// The samples of a figure with a label `work`: all labels, and the value.
    fn values<'p>(&'p self, start: &'p str, work: &str) -> impl Iterator<Item = (&'p str, u64)> {
        let label = format!("work=\"{work}\"");
        self.0.lines().filter_map(move |line| {
            let (labels, value) = line.strip_prefix(start)?.rsplit_once("} ")?;
            labels.contains(&label).then(|| value.parse().ok().map(|value| (labels, value)))?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE postrider_upkeep_duration_seconds histogram
postrider_upkeep_duration_seconds_sum{work=\"retain\"} 0.5
postrider_upkeep_duration_seconds_count{work=\"retain\"} 7
postrider_upkeep_duration_seconds_bucket{le=\"0.002\",work=\"retain\"} 5
postrider_upkeep_duration_seconds_bucket{le=\"0.005\",work=\"retain\"} 7
postrider_upkeep_duration_seconds_bucket{le=\"0.01\",work=\"retain\"} 7
postrider_upkeep_duration_seconds_bucket{le=\"+Inf\",work=\"retain\"} 7
postrider_upkeep_duration_seconds_count{work=\"fold\"} 1
postrider_upkeep_duration_seconds_bucket{le=\"0.5\",work=\"fold\"} 0
postrider_upkeep_duration_seconds_bucket{le=\"+Inf\",work=\"fold\"} 1
postrider_upkeep_rows_total{work=\"retain\"} 9000
postrider_store_calls_total 12
";

    #[test]
    fn the_longest_piece_is_told_by_its_bound() {
        let figures = Figures(PAGE.to_owned());
        assert_eq!(figures.longest_ms("retain"), Some(5.0));
        assert_eq!(figures.longest_ms("fold"), None);
        assert_eq!(figures.longest_ms("index"), Some(0.0));
        assert_eq!((figures.rows("retain"), figures.rows("index")), (9000, 0));
    }

    #[test]
    fn calls_of_the_database_are_there_or_missed() {
        assert_eq!(Figures(PAGE.to_owned()).store_calls().unwrap(), 12);
        assert!(Figures(String::new()).store_calls().is_err());
    }
}
