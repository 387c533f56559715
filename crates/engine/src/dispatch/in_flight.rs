//! Sends under way, noted where a crash of the process does not reach.
//!
//! Before a step goes out, a [`Note`] of it is written into a slot of a file, without waiting for the disk: what a process
//! has written outlives the process, though not a loss of power. A slot belongs to a delivery until its result is durable
//! ([`Slots`]); then the next send writes over it, and nobody clears it. Whether a note that is found at a start still
//! means something, the queue says: its try was not settled there. What follows from such a note is in
//! [`recovery`](super::recovery).
//!
//! Pure but for [`SlotFile`], which the server implements with a file and the simulator with memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use domain::{ChannelId, DeliveryId, StepsDone, Timestamp};

/// Bytes of a slot. A power of two, so that none lies across two pages: then a write that a signal cuts short is either
/// there or not.
pub const SLOT_BYTES: usize = 128;

/// The longest name of a provider that a slot has room for.
const PROVIDER_BYTES_MAX: usize = 32;

/// Where slots are kept. It outlives the process.
pub trait SlotFile: Send + Sync {
    /// Writes over a slot; the file grows when there was no such slot before. Does not wait for the disk.
    fn write(&self, slot: u32, bytes: &[u8; SLOT_BYTES]) -> io::Result<()>;

    /// Everything that was written, slot after slot.
    fn read(&self) -> io::Result<Vec<u8>>;
}

/// A step that is about to go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub delivery: DeliveryId,
    pub channel: ChannelId,
    /// Which try of the delivery.
    pub number: u32,
    pub step: u32,
    /// The steps that were done before.
    pub steps_done: StepsDone,
    pub started_at: Timestamp,
    pub provider: Arc<str>,
}

/// The notes of one database.
#[derive(Clone)]
pub struct InFlight {
    file: Arc<dyn SlotFile>,
    /// Begins every checksum, so that a note of another database, whose ids mean something else, is none here.
    seed: u64,
}

/// What was found at a start.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundNotes {
    pub notes: Vec<Note>,
    /// Slots with something in them that is no note of this database: written in part, or by another one.
    pub unreadable: usize,
}

impl InFlight {
    /// `instance` is the name of the database that the notes belong to.
    pub fn new(file: Arc<dyn SlotFile>, instance: &str) -> Self {
        // The number is the version of the layout below.
        Self { file, seed: fold(FNV_OFFSET, format!("postrider in flight 1\n{instance}\n").as_bytes()) }
    }

    /// Notes that a step is about to go out. When this fails it must not.
    pub fn note(&self, slot: u32, note: &Note) -> io::Result<()> {
        self.file.write(slot, &self.encode(note))
    }

    /// The last note of each slot.
    pub fn read(&self) -> io::Result<FoundNotes> {
        let bytes = self.file.read()?;
        let mut found = FoundNotes::default();
        for slot in bytes.chunks(SLOT_BYTES).filter(|slot| slot.iter().any(|byte| *byte != 0)) {
            match self.decode(slot) {
                Some(note) => found.notes.push(note),
                None => found.unreadable += 1,
            }
        }
        Ok(found)
    }

    fn encode(&self, note: &Note) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[8..16].copy_from_slice(&note.delivery.0.to_le_bytes());
        slot[16..24].copy_from_slice(&note.channel.0.to_le_bytes());
        slot[24..32].copy_from_slice(&note.steps_done.bits().to_le_bytes());
        slot[32..40].copy_from_slice(&note.started_at.as_ms().to_le_bytes());
        slot[40..44].copy_from_slice(&note.number.to_le_bytes());
        slot[44..48].copy_from_slice(&note.step.to_le_bytes());
        let provider = note.provider.as_bytes();
        let length = provider.len().min(PROVIDER_BYTES_MAX);
        slot[48..48 + length].copy_from_slice(&provider[..length]);
        let checksum = fold(self.seed, &slot[8..]);
        slot[..8].copy_from_slice(&checksum.to_le_bytes());
        slot
    }

    fn decode(&self, slot: &[u8]) -> Option<Note> {
        let slot: &[u8; SLOT_BYTES] = slot.try_into().ok()?;
        if number::<8>(slot, 0) != fold(self.seed, &slot[8..]).to_le_bytes() {
            return None;
        }
        let provider = &slot[48..48 + PROVIDER_BYTES_MAX];
        let end = provider.iter().position(|byte| *byte == 0).unwrap_or(PROVIDER_BYTES_MAX);
        Some(Note {
            delivery: DeliveryId(i64::from_le_bytes(number(slot, 8))),
            channel: ChannelId(i64::from_le_bytes(number(slot, 16))),
            steps_done: StepsDone::from_bits(i64::from_le_bytes(number(slot, 24))),
            started_at: Timestamp::from_ms(i64::from_le_bytes(number(slot, 32))),
            number: u32::from_le_bytes(number(slot, 40)),
            step: u32::from_le_bytes(number(slot, 44)),
            provider: std::str::from_utf8(&provider[..end]).ok()?.into(),
        })
    }
}

fn number<const BYTES: usize>(slot: &[u8; SLOT_BYTES], at: usize) -> [u8; BYTES] {
    *slot[at..].first_chunk().expect("within the slot")
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: tells a torn slot from a whole one, and nobody attacks this file.
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Which slot belongs to which delivery under way. As many are used as were ever under way at a time.
#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: BTreeMap<DeliveryId, u32>,
    free: Vec<u32>,
    used: u32,
}

impl Slots {
    /// The slot of a delivery that starts.
    pub(super) fn take(&mut self, delivery: DeliveryId) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        });
        self.taken.insert(delivery, slot);
        slot
    }

    /// The result of a delivery is durable. Without effect for one that has no slot.
    pub(super) fn give_back(&mut self, delivery: DeliveryId) {
        self.free.extend(self.taken.remove(&delivery));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    #[derive(Default)]
    struct Memory(Mutex<Vec<u8>>);

    impl SlotFile for Memory {
        fn write(&self, slot: u32, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
            let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let at = slot as usize * SLOT_BYTES;
            let length = file.len().max(at + SLOT_BYTES);
            file.resize(length, 0);
            file[at..at + SLOT_BYTES].copy_from_slice(bytes);
            Ok(())
        }

        fn read(&self) -> io::Result<Vec<u8>> {
            Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
        }
    }

    fn note(delivery: i64) -> Note {
        Note {
            delivery: DeliveryId(delivery),
            channel: ChannelId(7),
            number: 3,
            step: 2,
            steps_done: StepsDone::NONE.with(0, 9).with(1, 9),
            started_at: Timestamp::from_ms(1_700_000_000_000),
            provider: "internal_notification".into(),
        }
    }

    #[test]
    fn a_note_comes_back_as_it_was_and_a_later_one_covers_it() {
        let in_flight = InFlight::new(Arc::new(Memory::default()), "abc");
        assert_eq!(in_flight.read().unwrap(), FoundNotes::default());
        in_flight.note(2, &note(1)).unwrap();
        in_flight.note(0, &note(2)).unwrap();
        in_flight.note(2, &note(3)).unwrap();
        assert_eq!(in_flight.read().unwrap(), FoundNotes { notes: vec![note(2), note(3)], unreadable: 0 });
    }

    #[test]
    fn every_provider_fits() {
        let longest = providers::all().iter().map(|provider| provider.spec().name.len()).max().unwrap();
        assert!(longest <= PROVIDER_BYTES_MAX, "{longest}");
    }

    #[test]
    fn what_is_torn_or_of_another_database_is_no_note() {
        let file = Arc::new(Memory::default());
        let in_flight = InFlight::new(Arc::clone(&file) as _, "abc");
        in_flight.note(0, &note(1)).unwrap();
        let nothing = FoundNotes { notes: Vec::new(), unreadable: 1 };
        assert_eq!(InFlight::new(Arc::clone(&file) as _, "abd").read().unwrap(), nothing);
        let whole = file.read().unwrap();
        for (at, byte) in whole.iter().enumerate() {
            let mut torn = whole.clone();
            torn[at] = byte.wrapping_add(1);
            *file.0.lock().unwrap() = torn;
            assert_eq!(in_flight.read().unwrap(), nothing, "byte {at}");
        }
        // A file that was cut off in the middle of a slot.
        *file.0.lock().unwrap() = whole[..60].to_vec();
        assert_eq!(in_flight.read().unwrap(), nothing);
    }

    #[test]
    fn a_slot_is_used_again_when_its_delivery_has_settled() {
        let mut slots = Slots::default();
        let first: Vec<u32> = (1..=3).map(|id| slots.take(DeliveryId(id))).collect();
        assert_eq!(first, [0, 1, 2]);
        slots.give_back(DeliveryId(2));
        slots.give_back(DeliveryId(9));
        assert_eq!((slots.take(DeliveryId(4)), slots.take(DeliveryId(5))), (1, 3));
    }
}
