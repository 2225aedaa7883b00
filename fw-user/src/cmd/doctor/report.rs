//! The doctor's findings, one per line, with the fix below.

use crate::cmd::doctor::checks::{Finding, Verdict};

/// For people.
#[must_use]
pub(crate) fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| subject(finding).len()).max().unwrap_or_default();
    findings.iter().fold(String::new(), |text, finding| {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "bad",
        };
        let fix = finding.fix.as_ref().map(|fix| format!("{:6}{:width$}  fix: {fix}\n", "", "")).unwrap_or_default();
        text + &format!("{verdict:<6}{:width$}  {}\n{fix}", subject(finding), finding.found)
    })
}

fn subject(finding: &Finding) -> String {
    finding.interface.as_ref().map_or_else(|| finding.about.to_owned(), |name| format!("{name} {}", finding.about))
}
