//! Splits an image into its records, and puts one together.

/// Every image but the oldest begins with one of these (CRIU, `criu/include/magic.h`), and its own number follows.
const MAGIC: [u32; 2] = [0x5456_4319, 0x5510_5940];

/// Splits the contents of an image into its records.
///
/// # Errors
/// They are not those of an image.
pub fn split(bytes: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let (magic, rest) = number(bytes).ok_or("it has no magic number")?;
    if !MAGIC.contains(&magic) {
        return Err("it has another magic number");
    }
    let (_, mut rest) = number(rest).ok_or("it has no magic number of its own")?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (length, after) = number(rest).ok_or("it ends within a length")?;
        let (record, after) = after.split_at_checked(length as usize).ok_or("it ends within a record")?;
        records.push(record.to_vec());
        rest = after;
    }
    Ok(records)
}

/// The two numbers that an image which can be split begins with.
pub fn header(image: &[u8]) -> &[u8] {
    image.get(..2 * size_of::<u32>()).unwrap_or_default()
}

/// The contents of a service image (one that only CRIU on this machine reads) with its own number and these records.
pub fn joined(own: u32, records: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = [MAGIC[1].to_le_bytes(), own.to_le_bytes()].concat();
    for record in records {
        bytes.extend((record.len() as u32).to_le_bytes());
        bytes.extend(record);
    }
    bytes
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = [MAGIC[0].to_le_bytes(), [1, 2, 3, 4]].concat();
        for record in records {
            bytes.extend((record.len() as u32).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        bytes
    }

    #[test]
    fn records_are_told_apart() {
        assert_eq!(split(&image(&[b"one", b"", b"three"])).unwrap(), [&b"one"[..], b"", b"three"]);
        assert!(split(&image(&[])).unwrap().is_empty());
    }

    #[test]
    fn what_ends_too_early_is_damaged() {
        let whole = image(&[b"one", b"two"]);
        for length in 0..whole.len() {
            let cut_between = length == 8 || length == 15;
            assert_eq!(split(&whole[..length]).is_ok(), cut_between, "{length}");
        }
        assert!(split(&[0; 64]).is_err());
        assert!(split(&[&MAGIC[0].to_le_bytes()[..], &[0; 4], &[0xff; 8]].concat()).is_err());
    }
}
