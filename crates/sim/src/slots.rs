//! The file of sends under way, as memory that outlives every process of a world.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use engine::dispatch::in_flight::{SLOT_BYTES, SlotFile};

use crate::dice::Dice;

#[derive(Debug, Default)]
pub(crate) struct MemorySlots(Mutex<File>);

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// What each slot held before it was written last: what a disk may have of it.
    before: BTreeMap<u32, [u8; SLOT_BYTES]>,
}

impl MemorySlots {
    /// The machine is without power: about half of the slots are as they were before, or torn.
    pub(crate) fn lose_power(&self, dice: &mut Dice) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, before) in std::mem::take(&mut file.before) {
            let torn_at = match dice.between(0, 3) {
                0 => 0,
                1 => dice.position(SLOT_BYTES),
                _ => continue,
            };
            let start = slot as usize * SLOT_BYTES;
            file.bytes[start + torn_at..start + SLOT_BYTES].copy_from_slice(&before[torn_at..]);
        }
    }
}

impl SlotFile for MemorySlots {
    fn write(&self, slot: u32, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = slot as usize * SLOT_BYTES;
        let length = file.bytes.len().max(at + SLOT_BYTES);
        file.bytes.resize(length, 0);
        let before = *file.bytes[at..].first_chunk().expect("within the file");
        file.before.insert(slot, before);
        file.bytes[at..at + SLOT_BYTES].copy_from_slice(bytes);
        Ok(())
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes.clone())
    }
}
