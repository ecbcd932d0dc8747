//! Percentages for things that the kernel counts in steps: LEDs and backlights.

use tutti_model::Value;

use crate::driver::DriverError;

/// Reads what a lamp may be set to: on or off, or 0 to 100.
pub(crate) fn percent(value: &Value) -> Result<f64, DriverError> {
    let percent = match *value {
        Value::Bool(on) => return Ok(if on { 100.0 } else { 0.0 }),
        Value::Int(percent) => percent as f64,
        Value::Float(percent) => percent,
        ref other => {
            return Err(DriverError::WrongType { takes: "on, off or 0 to 100", given: other.word() });
        }
    };
    // Not a number is in no range.
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err(DriverError::OutOfRange { min: 0.0, max: 100.0 }) }
}

/// The nearest step; never 0 for what is not 0.
pub(crate) fn steps(percent: f64, max: u32) -> u32 {
    let nearest = (percent / 100.0 * f64::from(max)).round() as u32;
    if percent > 0.0 { nearest.max(1).min(max) } else { 0 }
}

/// The percentage that this many steps are.
pub(crate) fn of_steps(steps: u32, max: u32) -> f64 {
    f64::from(steps.min(max)) * 100.0 / f64::from(max.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_levels_are_refused() {
        for bad in [Value::Float(f64::NAN), Value::Float(100.1), Value::Int(-1), Value::Int(i64::MAX)] {
            assert_eq!(percent(&bad), Err(DriverError::OutOfRange { min: 0.0, max: 100.0 }));
        }
        assert!(matches!(percent(&Value::Text("on".into())), Err(DriverError::WrongType { .. })));
        assert_eq!(percent(&Value::Bool(true)), Ok(100.0));
    }

    proptest! {
        #[test]
        fn every_step_can_be_set(max in 1u32..=1 << 24, step in any::<u32>()) {
            let step = step % (max + 1);
            prop_assert_eq!(steps(of_steps(step, max), max), step);
        }

        #[test]
        fn levels_stay_in_range(level in 0.0..=100.0f64, max in 1u32..) {
            let steps = steps(level, max);
            prop_assert!(steps <= max);
            prop_assert_eq!(steps == 0, level == 0.0);
        }
    }
}
