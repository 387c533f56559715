//! `/v1/event-types`: what events are called for people, and which variables their data holds.

use axum::Json as Answer;
use axum::extract::State;
use domain::event_type::{EventType, Variable, VariableGroup, VariableKind};
use engine::ops::EventTypeShown;
use http::StatusCode;
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::extract::{Caller, ChannelsRead, ChannelsWrite, Json, Params, PathParts};
use super::page::{PageIn, PageOut};
use super::problem::Problem;

/// A described event type.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventType)]
pub(crate) struct EventTypeOut {
    r#type: String,
    label: String,
    description: String,
    groups: Vec<GroupWire>,
    /// It comes with Postrider and is not described by the tenant.
    built_in: bool,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VariableGroup)]
struct GroupWire {
    #[serde(default)]
    name: String,
    #[serde(default)]
    variables: Vec<VariableWire>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Variable)]
struct VariableWire {
    /// Where it stands in the data; dots lead into objects.
    key: String,
    #[serde(default)]
    description: String,
    /// `string`, `number`, `boolean`, `datetime`, `object` or `array`.
    #[serde(default = "string_kind")]
    r#type: String,
    /// As text; JSON for anything but texts and times.
    #[serde(default)]
    example: String,
}

fn string_kind() -> String {
    VariableKind::String.name().to_owned()
}

impl From<EventTypeShown> for EventTypeOut {
    fn from(shown: EventTypeShown) -> Self {
        let variable = |variable: Variable| VariableWire {
            key: variable.key,
            description: variable.description,
            r#type: variable.kind.name().to_owned(),
            example: variable.example,
        };
        let group = |group: VariableGroup| GroupWire {
            name: group.name,
            variables: group.variables.into_iter().map(variable).collect(),
        };
        Self {
            r#type: shown.event_type.name,
            label: shown.event_type.label,
            description: shown.event_type.description,
            groups: shown.event_type.groups.into_iter().map(group).collect(),
            built_in: shown.is_built_in,
            created_at: shown.created_at.map(rfc3339),
            updated_at: shown.updated_at.map(rfc3339),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewEventType)]
pub(crate) struct EventTypeIn {
    /// Only with POST; with PUT it stands in the path.
    r#type: Option<String>,
    /// By default the type itself.
    label: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    groups: Vec<GroupWire>,
}

impl EventTypeIn {
    fn read(self, name: String) -> Result<EventType, Problem> {
        let mut groups = Vec::with_capacity(self.groups.len());
        for (position, group) in self.groups.into_iter().enumerate() {
            let read = |(number, wire)| read_variable(wire, &format!("groups[{position}].variables[{number}]"));
            let variables = group.variables.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
            groups.push(VariableGroup { name: group.name, variables });
        }
        let label = self.label.unwrap_or_else(|| name.clone());
        Ok(EventType { name, label, description: self.description, groups })
    }
}

fn read_variable(wire: VariableWire, at: &str) -> Result<Variable, Problem> {
    let kind = VariableKind::parse(&wire.r#type).ok_or_else(|| {
        let known: Vec<_> = VariableKind::ALL.iter().map(|kind| kind.name()).collect();
        Problem::invalid_field(&format!("{at}.type"), format!("must be one of {}", known.join(", ")))
    })?;
    Ok(Variable { key: wire.key, description: wire.description, kind, example: wire.example })
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    limit: Option<String>,
    cursor: Option<String>,
}

/// In order of name; the cursor is the last one.
pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    Params(query): Params<ListIn>,
) -> Result<Answer<PageOut<EventTypeOut>>, Problem> {
    let limit = PageIn::new(query.limit, None).limit()?;
    let found = engine.event_types(caller.tenant, &query.cursor.unwrap_or_default(), limit);
    let next = found.last().filter(|_| found.len() == limit).map(|shown| shown.event_type.name.clone());
    Ok(Answer(PageOut::named(found.into_iter().map(Into::into).collect(), next)))
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    PathParts(name): PathParts<String>,
) -> Result<Answer<EventTypeOut>, Problem> {
    Ok(Answer(engine.event_type(caller.tenant, &name)?.into()))
}

pub(crate) async fn create(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Json(mut described): Json<EventTypeIn>,
) -> Result<(StatusCode, Answer<EventTypeOut>), Problem> {
    let name = described.r#type.take();
    let name = name.ok_or_else(|| Problem::invalid_field("type", "is required, like \"invoice.paid\""))?;
    put_type(&engine, &caller, described.read(name)?).await
}

pub(crate) async fn put(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    PathParts(name): PathParts<String>,
    Json(described): Json<EventTypeIn>,
) -> Result<(StatusCode, Answer<EventTypeOut>), Problem> {
    if described.r#type.as_ref().is_some_and(|given| *given != name) {
        return Err(Problem::invalid_field("type", "must be the type of the path, or left out"));
    }
    put_type(&engine, &caller, described.read(name)?).await
}

async fn put_type(
    engine: &App,
    caller: &Caller<ChannelsWrite>,
    event_type: EventType,
) -> Result<(StatusCode, Answer<EventTypeOut>), Problem> {
    let (shown, is_first) = engine.put_event_type(caller.tenant, event_type).await?;
    Ok((if is_first { StatusCode::CREATED } else { StatusCode::OK }, Answer(shown.into())))
}

pub(crate) async fn remove(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    PathParts(name): PathParts<String>,
) -> Result<StatusCode, Problem> {
    engine.delete_event_type(caller.tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
