//! Text as a JSON string, by runs: most text has nothing to escape.

/// Bytes that are looked at together, side by side in vector registers.
const BLOCK: usize = 32;

/// Behind the backslash: the letter of a short escape, `u` for `\u00xx`, 0 if the byte stands for
/// itself.
const LETTERS: [u8; 256] = {
    let mut letters = [0; 256];
    let mut control = 0;
    while control < b' ' {
        letters[control as usize] = b'u';
        control += 1;
    }
    letters[0x08] = b'b';
    letters[b'\t' as usize] = b't';
    letters[b'\n' as usize] = b'n';
    letters[0x0c] = b'f';
    letters[b'\r' as usize] = b'r';
    letters[b'"' as usize] = b'"';
    letters[b'\\' as usize] = b'\\';
    letters
};

/// Appends `text` as a JSON string, quotes included, byte for byte as `serde_json` writes it.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    escaped(out, text.as_bytes());
}

/// As [`string`] for bytes that may not be UTF-8; says whether they are. Else it appends nothing.
pub(super) fn string_if_text(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let is_text = bytes.is_ascii() || std::str::from_utf8(bytes).is_ok();
    if is_text {
        escaped(out, bytes);
    }
    is_text
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    // What stands before is written; from there to the current block nothing is to be escaped.
    let mut written = 0;
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        if !is_plain(block) {
            out.extend_from_slice(&bytes[written..index * BLOCK]);
            escape(out, block);
            written = (index + 1) * BLOCK;
        }
    }
    out.extend_from_slice(&bytes[written..bytes.len() - rest.len()]);
    escape(out, rest);
    out.push(b'"');
}

/// Without a branch for each byte, so that the compiler compares them side by side.
fn is_plain(block: &[u8; BLOCK]) -> bool {
    let special =
        |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    block.iter().fold(0, |any, &byte| any | special(byte)) == 0
}

/// Appends at most [`BLOCK`] bytes, one by one.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    const LONGEST: usize = 6;
    let mut escaped = [0; BLOCK * LONGEST];
    let mut length = 0;
    for &byte in bytes {
        match LETTERS[usize::from(byte)] {
            0 => {
                escaped[length] = byte;
                length += 1;
            }
            b'u' => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]);
                let long = [b'\\', b'u', b'0', b'0', high, low];
                escaped[length..length + LONGEST].copy_from_slice(&long);
                length += LONGEST;
            }
            letter => {
                escaped[length..length + 2].copy_from_slice(&[b'\\', letter]);
                length += 2;
            }
        }
    }
    out.extend_from_slice(&escaped[..length]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = b"before".to_vec();
        string(&mut out, text);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn every_ascii_character_is_written_as_serde_json_writes_it_wherever_it_stands() {
        for character in (0..128u8).map(char::from) {
            for before in [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 3] {
                for behind in [0, 1, BLOCK] {
                    let text = format!("{}{character}{}", "a".repeat(before), "é".repeat(behind));
                    assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn what_is_not_text_is_not_written() {
        let mut out = Vec::new();
        assert!(!string_if_text(&mut out, b"a\xff"));
        assert_eq!(out, b"");
        assert!(string_if_text(&mut out, "é\n".as_bytes()));
        assert_eq!(out, "\"é\\n\"".as_bytes());
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(
            pieces in prop::collection::vec(("[ -~]{0,70}|\\PC{0,20}", any::<char>()), 0..6),
        ) {
            let text: String =
                pieces.iter().flat_map(|(run, one)| run.chars().chain([*one])).collect();
            prop_assert_eq!(written(&text), serde_json::to_string(&text).unwrap());
        }
    }
}
