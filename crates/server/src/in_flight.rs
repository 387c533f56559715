//! The file of the data directory where sends under way are noted: the one place that writes it.
//!
//! What the notes mean is the engine's business ([`engine::dispatch::in_flight`]). A note is one write at its place,
//! without waiting for the disk: it costs a microsecond or two and outlives the process, which is all that it is for.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use engine::dispatch::in_flight::{SLOT_BYTES, SlotFile};

/// In the data directory.
pub(crate) const IN_FLIGHT_FILE: &str = "postrider.inflight";

pub(crate) struct InFlightFile(File);

impl InFlightFile {
    /// Opens the file, or makes it for its owner alone, with room for so many slots. It grows and never shrinks: what is
    /// in a slot beyond the room may still be wanted.
    pub(crate) fn open(data_dir: &Path, slots: usize) -> io::Result<Self> {
        let path = data_dir.join(IN_FLIGHT_FILE);
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let room = (slots * SLOT_BYTES) as u64;
        let length = file.metadata()?.len();
        if length < room {
            // Written and not only set, so that a note finds its place on a disk that is full by then.
            let missing = usize::try_from(room - length).unwrap_or(0);
            file.write_all_at(&vec![0; missing], length)?;
        }
        Ok(Self(file))
    }
}

impl SlotFile for InFlightFile {
    fn write(&self, slot: u32, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
        self.0.write_all_at(bytes, u64::from(slot) * SLOT_BYTES as u64)
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.0.metadata()?.len()).unwrap_or(0)];
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_stay_where_they_are_when_the_file_is_opened_with_more_or_less_room() {
        let data_dir = tempfile::tempdir().unwrap();
        let open = |slots| InFlightFile::open(data_dir.path(), slots).unwrap();
        let file = open(2);
        assert_eq!(file.read().unwrap(), [0; 2 * SLOT_BYTES]);
        file.write(1, &[7; SLOT_BYTES]).unwrap();
        file.write(4, &[9; SLOT_BYTES]).unwrap();
        drop(file);
        for slots in [1, 3, 8] {
            let bytes = open(slots).read().unwrap();
            assert_eq!(bytes.len(), slots.max(5) * SLOT_BYTES);
            assert_eq!(bytes[SLOT_BYTES..2 * SLOT_BYTES], [7; SLOT_BYTES]);
            assert_eq!(bytes[4 * SLOT_BYTES..5 * SLOT_BYTES], [9; SLOT_BYTES]);
        }
    }
}
