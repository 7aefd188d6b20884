//! `Cast` from and to strings.

use crate::{
    error::{Error, Result},
    kernels,
    tensor::{AlignedBytes, DType, RunStrings, View, ViewMut},
};

/// Numbers as strings: integers in full, floating-point numbers as C prints them with 8 significant digits, those of double
/// precision too, as in ONNX Runtime.
pub(super) fn to_strings(from: View<'_>, to: &mut [u64], strings: &mut RunStrings) -> Result<()> {
    let count = to.len();
    match from.dtype {
        DType::String => to.copy_from_slice(from.slice::<u64>()?),
        DType::U64 => {
            let numbers = from.slice::<u64>()?.iter();
            to.iter_mut().zip(numbers).for_each(|(to, number)| *to = strings.intern(&number.to_string()));
        }
        dtype => {
            let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
            let mut bytes = AlignedBytes::try_zeroed(count * wide.size())?;
            kernels::cast(from, &mut ViewMut { dtype: wide, shape: from.shape, bytes: &mut bytes })?;
            let (floats, integers): (&[f64], &[i64]) = (bytemuck::cast_slice(&bytes), bytemuck::cast_slice(&bytes));
            for (index, to) in to.iter_mut().enumerate() {
                let text = if dtype.is_float() { float(floats[index]) } else { integers[index].to_string() };
                *to = strings.intern(&text);
            }
        }
    }
    Ok(())
}

/// Strings as numbers.
///
/// # Errors
/// `InvalidInput` with the first string that is no number of that type.
pub(super) fn from_strings(from: &[u64], to: &mut ViewMut<'_>, strings: &RunStrings) -> Result<()> {
    let wide = if to.dtype.is_float() { DType::F64 } else { DType::I64 };
    let target = to.dtype;
    let mut bytes = AlignedBytes::try_zeroed(from.len() * wide.size())?;
    for (number, bytes) in from.iter().zip(bytes.chunks_exact_mut(wide.size())) {
        let text = strings.get(*number).map_or("", |text| text).trim();
        let parsed = match (target, wide) {
            (DType::U64, _) => text.parse::<u64>().ok().map(u64::to_ne_bytes),
            // Single precision is rounded once.
            (DType::F32, _) => text.parse::<f32>().ok().map(|number| f64::from(number).to_ne_bytes()),
            (_, DType::F64) => text.parse::<f64>().ok().map(f64::to_ne_bytes),
            _ => integer(text).filter(|&number| fits(number, target)).map(i64::to_ne_bytes),
        };
        let parsed = parsed.ok_or_else(|| Error::invalid_input(format!("the string `{text}` is no {target}")))?;
        bytes.copy_from_slice(&parsed);
    }
    let wide = if target == DType::U64 { DType::U64 } else { wide };
    kernels::cast(View { dtype: wide, shape: to.shape, bytes: &bytes }, to)
}

/// An integer or boolean.
fn integer(text: &str) -> Option<i64> {
    match text {
        "True" | "true" => Some(1),
        "False" | "false" => Some(0),
        _ => text.parse().ok(),
    }
}

/// Whether an integer is of a type.
fn fits(number: i64, dtype: DType) -> bool {
    match dtype {
        DType::I8 => i8::try_from(number).is_ok(),
        DType::I16 => i16::try_from(number).is_ok(),
        DType::I32 => i32::try_from(number).is_ok(),
        DType::U8 => u8::try_from(number).is_ok(),
        DType::U16 => u16::try_from(number).is_ok(),
        DType::U32 => u32::try_from(number).is_ok(),
        _ => true,
    }
}

/// Significant digits of a number.
const DIGITS: usize = 8;

/// A number as C's `%.8g` prints it.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "INF".into() } else { "-INF".into() };
    }
    let scientific = format!("{number:.*e}", DIGITS - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let strip = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= DIGITS as i64 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", strip(mantissa), exponent.abs());
    }
    strip(&format!("{number:.*}", (DIGITS as i64 - 1 - exponent).max(0) as usize))
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn numbers_are_printed_as_c_prints_them() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "-0.5"),
            (f64::from(0.1f32), "0.1"),
            (f64::from(0.478_925_47_f32), "0.47892547"),
            (123_456_789.0, "1.2345679e+08"),
            (12_345_678.0, "12345678"),
            (0.000_012_5, "1.25e-05"),
            (0.000_125, "0.000125"),
            (1.0 / 3.0, "0.33333333"),
            (1e-7, "1e-07"),
            (f64::NEG_INFINITY, "-INF"),
        ] {
            assert_eq!(float(number), text);
        }
    }
}
