//! Lists, read page by page to a bound, with the rows as they came.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Answer, Client};
use crate::cli::exit::Failure;
use crate::cli::output::{print, remark};

/// The most rows that the API gives at a time.
const PAGE_MAX: usize = 200;

/// How much of a list to show.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Part {
    /// Rows to show at most
    #[arg(long, value_name = "ROWS", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Go on where another list ended: its `next_cursor`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Rows of a list, as they came.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(in crate::cli) struct Listing {
    data: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl Listing {
    /// What the rows say.
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, Failure> {
        let read = |row: &RawValue| serde_json::from_str(row.get()).map_err(|error| unreadable(&error));
        self.data.iter().map(|row| read(row)).collect()
    }

    /// The rows.
    pub(in crate::cli) fn rows(&self) -> &[Box<RawValue>] {
        &self.data
    }

    /// Where the next page begins.
    pub(in crate::cli) fn next_cursor(&self) -> Option<String> {
        self.next_cursor.clone()
    }

    /// Prints the list: as JSON of the API's form, or `shown`, with a remark when there is more.
    pub(in crate::cli) fn print(
        &self,
        is_json: bool,
        shown: impl FnOnce(&Self) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        if is_json {
            return print(&serde_json::to_string(self).map_err(|error| unreadable(&error))?);
        }
        print(&shown(self)?)?;
        if let Some(cursor) = &self.next_cursor {
            remark(&format!("There may be more: raise --limit, or go on with --cursor {cursor}"));
        }
        Ok(())
    }
}

pub(in crate::cli) fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::no(format!("the server's answer cannot be read ({error}); is it of another version, or no Postrider?"))
}

impl Client {
    /// A list. `query` narrows it, like `status=dead`; pages are asked for until `part` is full.
    pub(in crate::cli) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        part: &Part,
    ) -> Result<Listing, Failure> {
        let mut rows_left = usize::try_from(part.limit).unwrap_or(usize::MAX);
        let mut whole = Listing { data: Vec::new(), next_cursor: part.cursor.clone() };
        loop {
            let page_rows = rows_left.min(PAGE_MAX);
            let page = self.page(path, query, page_rows, whole.next_cursor.take()).await?;
            rows_left -= page.data.len().min(rows_left);
            let is_last = page.data.is_empty() || page.next_cursor.is_none();
            whole.data.extend(page.data);
            whole.next_cursor = page.next_cursor;
            if is_last || rows_left == 0 {
                return Ok(whole);
            }
        }
    }

    /// One page of a list.
    pub(in crate::cli) async fn page(
        &self,
        path: &str,
        query: &[(&str, String)],
        rows: usize,
        cursor: Option<String>,
    ) -> Result<Listing, Failure> {
        let mut written = url::form_urlencoded::Serializer::new(String::new());
        written.append_pair("limit", &rows.to_string());
        written.extend_pairs(query);
        written.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        self.get(&format!("{path}?{}", written.finish())).await?.read()
    }
}

impl Answer {
    /// What the answer says.
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| unreadable(&error))
    }
}
