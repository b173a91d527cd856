//! Decimal numbers: digits and a point as JSON shows them, an integer of many bytes in Avro.

use num_bigint::BigInt;
use num_bigint::Sign;
use serde_json::Value;

use super::mismatch::Mismatch;
use super::schema::Decimal;

/// Most bytes of a decimal: turning more into digits takes long.
const MAX_BYTES: usize = 1024;

/// Most significant digits of a JSON number that are what its writer meant: what parses it keeps
/// no more.
const MAX_NUMBER_DIGITS: usize = 15;

impl Decimal {
    /// The bytes of a text such as `"12.34"`, or of a number.
    pub(super) fn encode(self, json: &Value) -> Result<Vec<u8>, Mismatch> {
        let text = match json {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_f64() => {
                let text = number.to_string();
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                if digits > MAX_NUMBER_DIGITS {
                    let message = format!(
                        "must be written as a string: a number of more than {MAX_NUMBER_DIGITS} digits loses some"
                    );
                    return Err(Mismatch::new(message));
                }
                text
            }
            Value::Number(number) => number.to_string(),
            other => return Err(Mismatch::expected("a decimal such as \"12.34\"", other)),
        };
        let unscaled = self.unscaled(&text)?;
        let bytes = unscaled.to_signed_bytes_be();
        let Some(size) = self.size else {
            return Ok(bytes);
        };
        let Some(missing) = size.checked_sub(bytes.len()) else {
            return Err(Mismatch::new(format!("does not fit into {size} bytes")));
        };
        let sign = match unscaled.sign() {
            Sign::Minus => 0xff,
            Sign::NoSign | Sign::Plus => 0,
        };
        let mut extended = vec![sign; missing];
        extended.extend_from_slice(&bytes);
        Ok(extended)
    }

    /// The number without its point.
    fn unscaled(self, text: &str) -> Result<BigInt, Mismatch> {
        let Self {
            precision, scale, ..
        } = self;
        let wrong = || Mismatch::new("must be a decimal such as \"12.34\"");
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(fraction) {
            return Err(wrong());
        }
        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        if fraction.len() > scale {
            let message = format!("must have at most {scale} digits behind the point");
            return Err(Mismatch::new(message));
        }
        // A digit takes less than half a byte.
        if whole.len() + scale > precision || precision > 2 * MAX_BYTES {
            let most = precision.min(2 * MAX_BYTES).saturating_sub(scale);
            let message = format!("must have at most {most} digits before the point");
            return Err(Mismatch::new(message));
        }
        let padding = scale - fraction.len();
        let digits = format!("{whole}{fraction}{}", "0".repeat(padding));
        let number = match digits.is_empty() {
            true => BigInt::ZERO,
            false => digits.parse::<BigInt>().map_err(|_| wrong())?,
        };
        Ok(match text.starts_with('-') {
            true => -number,
            false => number,
        })
    }

    /// The text of these bytes; `None` if they have too many digits.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<String> {
        if bytes.is_empty() || bytes.len() > MAX_BYTES || self.scale > 2 * MAX_BYTES {
            return None;
        }
        let number = BigInt::from_signed_bytes_be(bytes);
        let digits = number.magnitude().to_string();
        if digits.len() > self.precision {
            return None;
        }
        let sign = match number.sign() {
            Sign::Minus => "-",
            Sign::NoSign | Sign::Plus => "",
        };
        if self.scale == 0 {
            return Some(format!("{sign}{digits}"));
        }
        let digits = format!("{digits:0>width$}", width = self.scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.scale);
        Some(format!("{sign}{whole}.{fraction}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MONEY: Decimal = Decimal {
        precision: 6,
        scale: 2,
        size: None,
    };

    #[track_caller]
    fn comes_back_as(decimal: Decimal, json: Value, expected: &str) {
        let bytes = decimal.encode(&json).unwrap();
        assert_eq!(decimal.decode(&bytes).as_deref(), Some(expected), "{json}");
    }

    #[test]
    fn a_decimal_has_as_many_digits_behind_the_point_as_its_schema_says() {
        for (json, expected) in [
            (json!("12.34"), "12.34"),
            (json!("-0.05"), "-0.05"),
            (json!("+7"), "7.00"),
            (json!("0007.1000"), "7.10"),
            (json!("0"), "0.00"),
            (json!("9999.99"), "9999.99"),
            (json!(12.34), "12.34"),
            (json!(-12), "-12.00"),
            (json!(0.1), "0.10"),
        ] {
            comes_back_as(MONEY, json.clone(), expected);
            let fixed = Decimal {
                size: Some(8),
                ..MONEY
            };
            assert_eq!(fixed.encode(&json).unwrap().len(), 8);
            comes_back_as(fixed, json, expected);
        }
        let whole = Decimal { scale: 0, ..MONEY };
        comes_back_as(whole, json!("-120"), "-120");
    }

    #[test]
    fn what_would_be_rounded_is_refused() {
        for json in [
            json!("12.345"),
            json!("10000"),
            json!("1e3"),
            json!(1e300),
            json!(".5"),
            json!("0x1"),
            json!(""),
            json!("-"),
            json!("1.2.3"),
            json!(true),
            json!(null),
            json!(0.1234567890123456),
        ] {
            assert!(MONEY.encode(&json).is_err(), "{json}");
        }
        let narrow = Decimal {
            precision: 6,
            scale: 0,
            size: Some(1),
        };
        assert_eq!(narrow.encode(&json!(-128)).unwrap(), [0x80]);
        assert!(narrow.encode(&json!(128)).is_err());
    }

    #[test]
    fn more_digits_than_there_may_be_are_not_told() {
        let large = Decimal {
            precision: 10 * MAX_BYTES,
            ..MONEY
        };
        assert_eq!(large.decode(&[1; MAX_BYTES + 1]), None);
        assert!(large.decode(&[1; MAX_BYTES]).is_some());
        assert_eq!(MONEY.decode(&[]), None);
        let most = MONEY.encode(&json!("-9999.99")).unwrap();
        assert_eq!(MONEY.decode(&most).as_deref(), Some("-9999.99"));
        // 1000000, without its point.
        assert_eq!(MONEY.decode(&[0x0f, 0x42, 0x40]), None);
    }
}
