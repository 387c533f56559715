//! The scenario: what the seed decides about a world as a whole, before anything happens in it.

use std::time::Duration;

use domain::quotas::Quotas;
use engine::Settings;
use engine::settings::Retention;

use crate::dice::Dice;

/// What the seed decides about the world as a whole.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub settings: Settings,
    pub segment_rows_max: u64,
    pub tenants: usize,
    pub channels: usize,
    pub events: usize,
    /// How long things go wrong.
    pub trouble: Duration,
    pub has_large_fan_out: bool,
    /// The process starts with more waiting than it can hold.
    pub has_backlog: bool,
}

impl Scenario {
    /// A start with a backlog: lanes and memory that are soon full, and slots that many want.
    pub(crate) fn with_backlog() -> Self {
        Self {
            settings: Settings {
                in_flight_max: 16,
                lane_items_max: 64,
                buffered_bytes_max: 512 << 10,
                load_items_max: 32,
                ..Settings::default()
            },
            segment_rows_max: 8_192,
            tenants: 0,
            channels: 0,
            events: 0,
            trouble: Duration::from_hours(24),
            has_large_fan_out: false,
            has_backlog: false,
        }
    }

    pub(crate) fn draw(seed: u64, dice: &mut Dice) -> Self {
        let has_large_fan_out = seed % 50 == 49;
        let has_backlog = seed % 50 == 24;
        let size = |dice: &mut Dice, choices: &[usize]| dice.pick(choices);
        let retention = if has_large_fan_out || has_backlog { Retention::default() } else { draw_retention(dice) };
        let events = if has_large_fan_out { 1 } else { dice.pick(&[20, 40, 80, 120]) };
        // Reads go from segment to segment, so worlds of many rows have large ones. And those of a row or two, each looked
        // through for hours of virtual time, take longer than they show.
        let segments: &[u64] = match retention {
            _ if has_large_fan_out || has_backlog => &[700],
            _ if retention != Retention::default() => &[7, 16, 32],
            _ if events == 20 => &[1, 2, 7],
            _ => &[7, 16, 32_768],
        };
        Self {
            settings: Settings {
                retry_base: None,
                in_flight_max: size(dice, if has_large_fan_out { &[256] } else { &[1, 3, 8, 8, 64] }),
                lane_items_max: size(dice, &[1, 2, 4, 4, 16, 1024]),
                buffered_bytes_max: size(dice, &[300, 2_000, 32 << 20, 32 << 20]),
                load_items_max: size(dice, &[1, 2, 3, 8, 256]),
                keeps_provider_rates: true,
                held_max: 100_000,
                held_for: None,
                retention,
                quotas: Quotas::default(),
            },
            segment_rows_max: dice.pick(segments),
            tenants: dice.position(3) + 1,
            channels: if has_backlog { 2 } else { dice.position(8) + 1 },
            events,
            trouble: Duration::from_secs(dice.pick(&[5, 30, 120, 600])),
            has_large_fan_out,
            has_backlog,
        }
    }
}

/// Most operators of worlds keep everything; the others let go of it while its deliveries still wait.
fn draw_retention(dice: &mut Dice) -> Retention {
    if dice.chance(800) {
        return Retention::default();
    }
    let mut draw = || dice.pick(&[None, Some(1), Some(60), Some(900)]).map(Duration::from_secs);
    // Sums are held against rows, and redrives are asked for how far they came.
    Retention { events: draw(), deliveries: draw(), attempts: draw(), inbox: None, inbox_entries_max: None, sums: None }
}
