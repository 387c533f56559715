//! Lists by cursor: `?limit=` and `?cursor=`, answered with `{data, next_cursor}`.

use std::fmt::Display;

use engine::ops::Page;
use serde::Serialize;

use super::problem::Problem;

pub(super) const LIMIT_DEFAULT: usize = 50;
pub(super) const LIMIT_MAX: usize = 200;

/// One page of a list. `next_cursor` is null on the last; a page before that may be short, even empty.
#[derive(Debug, Serialize)]
pub(crate) struct PageOut<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// Where a page begins and how long it is.
#[derive(Debug)]
pub(crate) struct PageIn {
    limit: Option<String>,
    cursor: Option<String>,
}

impl PageIn {
    /// The texts of the query.
    pub(crate) fn new(limit: Option<String>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    /// How many rows.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = &self.limit else { return Ok(LIMIT_DEFAULT) };
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| Problem::invalid_field("limit", format!("must be 1 to {LIMIT_MAX}")))
    }

    /// The id that the page before ended with.
    pub(crate) fn after(&self) -> Result<Option<i64>, Problem> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let cursor = text.parse().ok().filter(|cursor| (0..=domain::ids::ID_MAX).contains(cursor));
        cursor.map(Some).ok_or_else(|| Problem::invalid_field("cursor", "must be a next_cursor of this list"))
    }
}

impl<T> PageOut<T> {
    /// A page whose cursor is no number.
    pub(crate) fn named(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { data, next_cursor }
    }

    /// A page of history, which knows where the next one begins.
    pub(crate) fn of<R: Into<T>, I: Display>(page: Page<R, I>) -> Self {
        let next_cursor = page.next.map(|next| next.to_string());
        Self { data: page.rows.into_iter().map(Into::into).collect(), next_cursor }
    }

    /// A page of `rows`, of which there may be more when it is full.
    pub(crate) fn new<R>(rows: Vec<R>, limit: usize, id: impl Fn(&R) -> i64, show: impl Fn(R) -> T) -> Self {
        let is_full = rows.len() == limit;
        let next_cursor = rows.last().filter(|_| is_full).map(|row| id(row).to_string());
        Self { data: rows.into_iter().map(show).collect(), next_cursor }
    }
}
