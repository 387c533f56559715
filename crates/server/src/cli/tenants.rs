//! `postrider tenants`: who uses this Postrider.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;

use super::client::wire::{Quota, Quotas, Tenant};
use super::client::{self, Client, Part, Target, path};
use super::exit::{Ended, Exit};
use super::input::Consent;
use super::output::{Table, print, print_json, safe, when};
use crate::app::Starts;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the tenants
    List(Part),
    /// Make a tenant, or give the one with this slug a new name and address
    Create(Create),
    /// Show one tenant
    Show { slug: String },
    /// Turn a tenant away until it is resumed
    Suspend { slug: String },
    /// Let a suspended tenant go on
    Resume { slug: String },
    /// Delete a tenant with its keys and channels
    Delete {
        slug: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// 1 to 63 of a-z, 0-9 and '-'
    slug: String,
    /// What people call it; by default the slug
    #[arg(long)]
    name: Option<String>,
    /// Where mail to the tenant itself goes
    #[arg(long)]
    email: Option<String>,
    /// A quota of its own; 0 is no bound. With any, those that are not given are the server's
    #[arg(long = "quota", value_name = "NAME=NUMBER", value_parser = quota)]
    quotas: Vec<(String, u64)>,
}

fn quota(text: &str) -> Result<(String, u64), String> {
    let wrong = || "must be a quota and its bound, like events_per_day=100000".to_owned();
    let (name, bound) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), bound.parse().map_err(|_| wrong())?))
}

#[derive(Debug, Serialize)]
struct TenantIn<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quotas: Option<BTreeMap<&'a str, u64>>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Action::Delete { slug, consent } = &arguments.action {
        let question =
            format!("Delete tenant {slug:?}? Its keys are refused and what waits for its channels is cancelled.");
        if let Err(failure) = consent.get(&question) {
            return Ok(super::exit::report(Err(failure)));
        }
    }
    client::run(&arguments.target, Starts::Nothing, async |client| {
        act(client, &arguments.action, arguments.target.is_json).await
    })
}

async fn act(client: &Client, action: &Action, is_json: bool) -> Ended {
    let of = |slug: &str| path(&["v1", "tenants", slug]);
    let (answer, said) = match action {
        Action::List(part) => return list(client, part, is_json).await,
        Action::Create(Create { slug, name, email, quotas }) => {
            let named = quotas.iter().map(|(name, bound)| (name.as_str(), *bound)).collect();
            let quotas = (!quotas.is_empty()).then_some(named);
            let request = TenantIn { name: name.as_deref(), email: email.as_deref(), quotas };
            (
                client.put(&of(slug), &request).await?,
                format!("Tenant {slug} is there; 'postrider keys create' makes it a key."),
            )
        }
        Action::Show { slug } => {
            let answer = client.get(&of(slug)).await?;
            let said = if is_json {
                String::new()
            } else {
                let quotas: Quotas = client.get(&path(&["v1", "tenants", slug, "quotas"])).await?.read()?;
                told(&answer.read()?, &quotas, client)
            };
            (answer, said)
        }
        Action::Suspend { slug } => {
            let answer = client.ask_for(&path(&["v1", "tenants", slug, "suspend"])).await?;
            (answer, format!("Tenant {slug} is suspended; 'postrider tenants resume {slug}' lets it go on."))
        }
        Action::Resume { slug } => {
            let answer = client.ask_for(&path(&["v1", "tenants", slug, "resume"])).await?;
            (answer, format!("Tenant {slug} goes on."))
        }
        Action::Delete { slug, .. } => (client.delete(&of(slug)).await?, format!("Tenant {slug} is deleted.")),
    };
    if !is_json {
        print(&said)?;
    } else if !answer.body.is_empty() {
        print_json(&answer.body)?;
    }
    Ok(Exit::Ok)
}

async fn list(client: &Client, part: &Part, is_json: bool) -> Ended {
    let listing = client.list("/v1/tenants", &[], part).await?;
    listing.print(is_json, |listing| {
        let mut table = Table::new(&["SLUG", "NAME", "EMAIL", "CREATED", "SUSPENDED"]);
        for tenant in listing.read::<Tenant>()? {
            let created = when(&tenant.created_at, client.now());
            let suspended = tenant.suspended_at.as_deref().map(|at| when(at, client.now()));
            table.row([
                tenant.slug,
                tenant.name,
                tenant.email.unwrap_or_default(),
                created,
                suspended.unwrap_or_default(),
            ]);
        }
        Ok(table.text("There are no tenants."))
    })?;
    Ok(Exit::Ok)
}

fn told(tenant: &Tenant, quotas: &Quotas, client: &Client) -> String {
    let email = tenant.email.as_deref().map_or_else(|| "none".to_owned(), safe);
    let mut lines = vec![
        format!("{} {:?}", safe(&tenant.slug), safe(&tenant.name)),
        format!("  email    {email}"),
        format!("  created  {}", when(&tenant.created_at, client.now())),
    ];
    if let Some(at) = &tenant.suspended_at {
        lines.push(format!("  suspended {}", when(at, client.now())));
    }
    for Quota { name, limit, used } in &quotas.data {
        let used = used.map_or_else(|| "not counted".to_owned(), |used| format!("{used} used"));
        let limit = limit.map_or_else(|| "no bound".to_owned(), |limit| format!("of {limit}"));
        lines.push(format!("  {:<19}{used}, {limit}", safe(name)));
    }
    lines.join("\n")
}
