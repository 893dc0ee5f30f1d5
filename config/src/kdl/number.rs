//! Numbers as KDL writes them.

use super::Syntax;
use crate::tree::Scalar;

/// A digit first, or behind a sign: anything else is a word.
pub(super) fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let digits = unsigned.strip_prefix('.').unwrap_or(unsigned);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

/// KDL 2, 3.14.
pub(super) fn read(word: &str) -> Result<Scalar, Syntax> {
    let (negative, unsigned) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let radixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = radixes
        .into_iter()
        .find_map(|(prefix, radix)| Some((unsigned.strip_prefix(prefix)?, radix)));
    match prefixed {
        Some((digits, radix)) => integer(digits, radix, negative),
        None if is_digits(unsigned, 10) => integer(unsigned, 10, negative),
        None => fraction(unsigned),
    }
}

fn integer(digits: &str, radix: u32, negative: bool) -> Result<Scalar, Syntax> {
    if !is_digits(digits, radix) {
        return Err(Syntax::BadNumber);
    }
    let plain = digits.replace('_', "");
    let value = i128::from_str_radix(&plain, radix).map_err(|_| Syntax::HugeNumber)?;
    Ok(Scalar::Integer(if negative { -value } else { value }))
}

fn fraction(text: &str) -> Result<Scalar, Syntax> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, part) = match mantissa.split_once('.') {
        Some((whole, part)) => (whole, Some(part)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    let fits = is_digits(whole, 10)
        && part.is_none_or(|part| is_digits(part, 10))
        && exponent.is_none_or(|exponent| is_digits(exponent, 10));
    if fits {
        Ok(Scalar::Fraction)
    } else {
        Err(Syntax::BadNumber)
    }
}

/// Digits with `_` between them, not in front.
fn is_digits(text: &str, radix: u32) -> bool {
    text.starts_with(|c: char| c.is_digit(radix))
        && text.chars().all(|c| c == '_' || c.is_digit(radix))
}
