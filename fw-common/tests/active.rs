//! The word that puts a policy in force: which buffer is written next, and what a change falls back to.

use fw_common::abi::BUFFERS;
use fw_common::active::Active;

/// The first policy of an interface, without a deadline.
fn first() -> Active {
    Active(0).flipped(0)
}

/// Every word that up to three changes lead to, with and without a deadline.
fn words() -> Vec<Active> {
    let mut words = vec![first(), first().until(60, None)];
    for _ in 0..3 {
        for before in words.clone() {
            words.extend([0, Active::NETWORKS, Active::LIMITS].map(|contents| before.flipped(contents)));
            words.extend([false, true].map(|monitors| before.monitoring(monitors)));
            if before.deadline() == 0 {
                words.extend(
                    [before.flipped(Active::NETWORKS), before.monitoring(true)]
                        .map(|next| next.until(60, Some(before))),
                );
            } else {
                words.push(before.flipped(Active::NETWORKS).joining(before, 90));
                words.extend([before.confirmed(), before.fallback()]);
            }
        }
        words.sort_unstable_by_key(|word| word.0);
        words.dedup();
    }
    words
}

#[test]
fn no_change_is_written_where_a_packet_may_be_judged_by() {
    for word in words() {
        let next = word.flipped(0).buffer();
        assert!(next < BUFFERS, "{word:x?}");
        assert_ne!(next, word.buffer(), "{word:x?}");
        if word.deadline() != 0 {
            assert_ne!(next, word.fallback().buffer(), "{word:x?}");
        }
    }
}

#[test]
fn changes_for_good_take_two_buffers() {
    let buffers = [first(), first().flipped(0), first().flipped(0).flipped(0)].map(Active::buffer);
    assert_eq!(buffers, [1, 0, 1]);
}

#[test]
fn what_joins_a_change_reverts_with_it() {
    let before = first().monitoring(true);
    let trial = before.flipped(0).monitoring(false).until(60, Some(before));
    let joined = trial.flipped(Active::NETWORKS).joining(trial, trial.deadline());
    let again = joined.flipped(0).joining(joined, 90);
    assert_eq!([trial, joined, again].map(Active::fallback), [before; 3]);
    assert_eq!([trial, joined, again].map(Active::deadline), [60, 60, 90]);
    assert_eq!([trial, joined, again].map(Active::monitors), [false; 3]);
    assert_eq!(again.buffer(), trial.buffer());
    assert_eq!(joined.confirmed(), trial.flipped(Active::NETWORKS));
    assert!(![trial, joined, again].iter().any(|word| word.ends_detached()));
}

#[test]
fn what_joins_a_first_policy_ends_with_the_filter() {
    let trial = first().until(60, None);
    let joined = trial.flipped(Active::NETWORKS).joining(trial, 60);
    assert!(joined.ends_detached() && !joined.monitors());
    assert!(joined.fallback().monitors(), "from the deadline on nothing is dropped");
    assert_ne!(joined.fallback().buffer(), joined.buffer());
    assert!(!joined.confirmed().ends_detached());
    let ended = joined.ended();
    assert!(ended.has_ended(1_000_000_000) && ended.ends_detached() && !joined.has_ended(1_000_000_000));
    assert_eq!([ended.buffer(), ended.fallback().buffer()], [joined.buffer(), joined.fallback().buffer()]);
}
