//! The vault: channel configs are sealed before they reach a disk.
//!
//! XChaCha20-Poly1305 with a random nonce; tenant and channel are authenticated with it, so that a sealed config
//! cannot be moved to another channel. A sealed blob begins with the number of its key, so that keys can be rotated.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use domain::{ChannelId, Secret, TenantId};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::StoreError;

const NONCE_BYTES: usize = 24;

/// Settings are sealed for their tenant and no channel: no channel has this number.
pub(crate) const NO_CHANNEL: ChannelId = ChannelId(0);

/// Where random bytes come from: the system, or the simulator's seeded source.
pub type Entropy = Box<dyn Fn(&mut [u8]) + Send + Sync>;

/// Seals and opens the secrets of a database.
pub struct Vault {
    ciphers: BTreeMap<u8, XChaCha20Poly1305>,
    current: u8,
    /// What keys for other purposes are derived from.
    root: [u8; 32],
    /// For nonces.
    entropy: Entropy,
}

impl Vault {
    /// A vault with one key, number 1.
    pub fn new(key: [u8; 32], entropy: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        let cipher = XChaCha20Poly1305::new(&Key::from(key));
        Self { ciphers: BTreeMap::from([(1, cipher)]), current: 1, root: key, entropy: Box::new(entropy) }
    }

    /// Opens the key file, or makes it (mode 0600) when there is none.
    pub fn open(path: &Path, entropy: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Result<Self, StoreError> {
        let key = match File::open(path) {
            Ok(file) => read_key(file, path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; 32];
                entropy(&mut key);
                write_key(path, &key)
                    .map_err(|error| StoreError::Unusable(format!("cannot write {}: {error}", path.display())))?;
                key
            }
            Err(error) => return Err(StoreError::Unusable(format!("cannot read {}: {error}", path.display()))),
        };
        Ok(Self::new(key, entropy))
    }

    /// A key for one purpose of its own: it tells nothing of the vault's, nor of another purpose's.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.root).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn seal(&self, tenant: TenantId, channel: ChannelId, secret: &Secret) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        (self.entropy)(&mut nonce);
        let bound_to = bound_to(tenant, channel);
        let payload = Payload { msg: secret.reveal().as_bytes(), aad: &bound_to };
        let sealed =
            self.ciphers[&self.current].encrypt(&XNonce::from(nonce), payload).expect("a config is far below 256 GiB");
        [&[self.current][..], &nonce, &sealed].concat()
    }

    pub(crate) fn unseal(&self, tenant: TenantId, channel: ChannelId, blob: &[u8]) -> Result<Secret, StoreError> {
        let broken = |what: &str| {
            StoreError::Unusable(format!(
                "the config of channel {channel} cannot be decrypted: {what}. Is secret.key the one of this database?"
            ))
        };
        let (number, rest) = blob.split_first().ok_or_else(|| broken("it is empty"))?;
        let cipher = self.ciphers.get(number).ok_or_else(|| broken(&format!("key {number} is missing")))?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| broken("it is cut short"))?;
        let payload = Payload { msg: sealed, aad: &bound_to(tenant, channel) };
        let open = cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| broken("the key does not fit"))?;
        String::from_utf8(open).map(Secret::new).map_err(|_| broken("it is not text"))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} keys)", self.ciphers.len())
    }
}

fn bound_to(tenant: TenantId, channel: ChannelId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&tenant.0.to_be_bytes());
    bytes[8..].copy_from_slice(&channel.0.to_be_bytes());
    bytes
}

fn read_key(file: File, path: &Path) -> Result<[u8; 32], StoreError> {
    let mut bytes = Vec::new();
    file.take(33)
        .read_to_end(&mut bytes)
        .map_err(|error| StoreError::Unusable(format!("cannot read {}: {error}", path.display())))?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        StoreError::Unusable(format!("{} must hold 32 bytes and holds {}", path.display(), bytes.len()))
    })
}

/// The key must be on the disk before anything is sealed with it.
fn write_key(path: &Path, key: &[u8; 32]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(1);
    const CHANNEL: ChannelId = ChannelId(2);

    #[test]
    fn what_is_sealed_opens_only_where_it_belongs() {
        let vault = Vault::new([7; 32], |bytes| bytes.fill(9));
        let sealed = vault.seal(TENANT, CHANNEL, &Secret::new("{\"url\":\"x\"}"));
        assert!(!sealed.windows(3).any(|window| window == b"url"));
        assert_eq!(vault.unseal(TENANT, CHANNEL, &sealed).unwrap().reveal(), "{\"url\":\"x\"}");
        assert!(vault.unseal(TENANT, ChannelId(3), &sealed).is_err());
        assert!(vault.unseal(TENANT, CHANNEL, &sealed[..20]).is_err());
        assert!(Vault::new([8; 32], |bytes| bytes.fill(9)).unseal(TENANT, CHANNEL, &sealed).is_err());
    }

    #[test]
    fn the_key_file_is_private_and_lasts() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let sealed = Vault::open(&path, |bytes| bytes.fill(1)).unwrap().seal(TENANT, CHANNEL, &Secret::new("x"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Vault::open(&path, |bytes| bytes.fill(2)).unwrap();
        assert_eq!(again.unseal(TENANT, CHANNEL, &sealed).unwrap().reveal(), "x");
        std::fs::write(&path, b"short").unwrap();
        let error = Vault::open(&path, |_| ()).unwrap_err().to_string();
        assert!(error.contains("must hold 32 bytes and holds 5"), "{error}");
    }
}
