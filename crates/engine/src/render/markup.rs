//! How a value is written into each markup. What a template calls safe (`| safe`) is written as it is.

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, Output, State};
use providers::Markup;

/// Into JSON text: strings escaped and without quotes, everything else as JSON.
pub(super) fn json(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    write(out, value, |value| {
        let json =
            serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
        Ok(if value.as_str().is_some() { json[1..json.len() - 1].to_owned() } else { json })
    })
}

/// Into any other markup: texts as they are, everything else as JSON, and both escaped.
pub(super) fn escaped(markup: Markup, out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
    write(out, value, |value| Ok(markup.value(&readable(value)?)))
}

fn write(
    out: &mut Output<'_>,
    value: &Value,
    escape: impl FnOnce(&Value) -> Result<String, Error>,
) -> Result<(), Error> {
    let failed = |error: std::fmt::Error| Error::new(ErrorKind::WriteFailure, error.to_string());
    if value.is_undefined() {
        return Ok(());
    }
    if value.is_safe() {
        return out.write_str(value.as_str().unwrap_or_default()).map_err(failed);
    }
    out.write_str(&escape(value)?).map_err(failed)
}

fn readable(value: &Value) -> Result<String, Error> {
    value.as_str().map_or_else(|| crate::expression::json(value), |text| Ok(text.to_owned()))
}
