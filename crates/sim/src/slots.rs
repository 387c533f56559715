//! The file of sends under way, as memory that outlives every process of a world.

use std::io;
use std::sync::{Mutex, PoisonError};

use engine::dispatch::in_flight::{SLOT_BYTES, SlotFile};

#[derive(Debug, Default)]
pub(crate) struct MemorySlots(Mutex<Vec<u8>>);

impl SlotFile for MemorySlots {
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
