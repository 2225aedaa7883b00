//! Skips of tests that need something the machine lacks.

use std::{env, error::Error, fmt, thread, time::Instant};

use anyhow::Result;

/// Something that the machine lacks: Docker, or a feature of the kernel. As the cause of a test's error it makes the test
/// be skipped, by [`run`].
#[derive(Debug)]
pub struct Missing(
    /// The missing thing, and how to get it.
    pub String,
);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Missing {}

/// Ask for a program that a package of Debian's has.
///
/// # Errors
/// [`Missing`].
pub fn need(program: &str, package: &str) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    Err(Missing(format!("`{program}` is not installed: apt install {package}")).into())
}

/// Run a test: where something is [`Missing`] it is skipped, under its name. In CI nothing is skipped, since a check that silently
/// checks less is none. How long it took, in seconds, goes where the runner of `cargo xtask test` finds it.
///
/// # Errors
/// The test's own.
pub fn run(test: impl FnOnce() -> Result<()>) -> Result<()> {
    let begin = Instant::now();
    let outcome = test();
    println!("took: {:.1}", begin.elapsed().as_secs_f64());
    let may_skip = env::var_os("CI").is_none_or(|value| value != "true");
    if let Some(missing) = judge(outcome, may_skip)? {
        // Where the runner of `cargo xtask test` counts it: standard error would get past it.
        println!("skipped: {}: {missing}", thread::current().name().unwrap_or("unnamed"));
    }
    Ok(())
}

/// The missing thing, in words, if a test may be skipped for it.
fn judge(outcome: Result<()>, may_skip: bool) -> Result<Option<String>> {
    match outcome {
        Err(error) if may_skip && error.is::<Missing>() => Ok(Some(format!("{error:#}"))),
        outcome => outcome.map(|()| None),
    }
}

/// Makes tests of functions: `tests! { runs_as_it_is; ... }` for functions without a parameter, and for those that take a
/// [`Mode`](super::Mode) `tests! { in every mode: ... }` where the hook may matter, `tests! { in both modes: ... }` where it is about XDP alone, and
/// `tests! { in native mode: ... }`, `tests! { in generic mode: ... }` or `tests! { in tc mode: ... }` where it does not.
#[macro_export]
macro_rules! tests {
    (in both modes: $($name:ident;)*) => {
        $crate::tests!(@native, Native: $($name;)*);
        $crate::tests!(@generic, Generic: $($name;)*);
    };
    (in every mode: $($name:ident;)*) => {
        $crate::tests!(in both modes: $($name;)*);
        $crate::tests!(@at_tc tc: $($name;)*);
    };
    (in tc mode: $($name:ident;)*) => {
        $crate::tests!(@at_tc only_tc: $($name;)*);
    };
    (@at_tc $module:ident: $($name:ident;)*) => {
        mod $module {
            $(#[test] fn $name() -> anyhow::Result<()> {
                $crate::lab::skip::run(|| $crate::lab::at_tc(super::$name))
            })*
        }
    };
    (in native mode: $($name:ident;)*) => {
        $crate::tests!(@only_native, Native: $($name;)*);
    };
    (in generic mode: $($name:ident;)*) => {
        $crate::tests!(@only_generic, Generic: $($name;)*);
    };
    (@$module:ident, $mode:ident: $($name:ident;)*) => {
        mod $module {
            $(#[test] fn $name() -> anyhow::Result<()> {
                $crate::lab::skip::run(|| super::$name($crate::lab::Mode::$mode))
            })*
        }
    };
    ($($name:ident;)*) => {
        mod test {
            $(#[test] fn $name() -> anyhow::Result<()> {
                $crate::lab::skip::run(super::$name)
            })*
        }
    };
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, bail};

    use super::*;

    fn lacks_docker() -> Result<()> {
        bail!(Missing("no Docker".to_owned()))
    }

    #[test]
    fn what_is_missing_skips_a_test_but_not_in_ci() {
        for (outcome, words) in
            [(lacks_docker(), "no Docker"), (lacks_docker().context("while starting"), "while starting: no Docker")]
        {
            assert!(judge(outcome, true).is_ok_and(|missing| missing.as_deref() == Some(words)), "{words}");
        }
        assert!(judge(lacks_docker(), false).is_err());
    }

    #[test]
    fn other_errors_fail_a_test_everywhere() {
        let breaks = || -> Result<()> { bail!("the port is open") };
        assert!(judge(breaks(), true).is_err());
        assert!(judge(breaks(), false).is_err());
        assert!(judge(Ok(()), false).is_ok_and(|missing| missing.is_none()));
    }
}
