//! Random names and numbers from the system.

use crate::error::{StoreError, StoreErrorKind};

/// 24 hexadecimal digits: a name for a lease owner, an attempt or a recount that nobody else has.
///
/// # Errors
/// When the system has no random bytes.
pub(crate) fn random_name() -> Result<String, StoreError> {
    let bytes: [u8; 12] = random_bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Any number of 32 bits.
///
/// # Errors
/// When the system has no random bytes.
pub(crate) fn random_u32() -> Result<u32, StoreError> {
    random_bytes().map(u32::from_le_bytes)
}

fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], StoreError> {
    let mut bytes = [0; LENGTH];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))
        .map_err(|error| {
            let message = "the system gives no random bytes";
            StoreError::new(StoreErrorKind::Internal, message).with_source(error)
        })?;
    Ok(bytes)
}
