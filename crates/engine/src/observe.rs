//! What dispatch tells about its work, for figures. Nothing is kept here, and nothing decides by it.

use domain::delivery::AttemptRecord;

/// Hears what dispatch does. It must be quick: it is on the way of every delivery.
pub trait Observer: Send + Sync {
    /// A try of one step is over.
    fn attempted(&self, provider: &'static str, record: &AttemptRecord);

    /// So many deliveries are started and not durably settled.
    fn in_flight(&self, deliveries: usize);
}
