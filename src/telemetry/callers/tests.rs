//! However many callers there are, series are few.

use super::*;

fn caller(name: &str, named: bool) -> Caller {
    Caller { named, ..Caller::unruled(name) }
}

#[test]
fn callers_beyond_the_limit_share_a_series() {
    let names = CallerNames::default();
    let labels: HashSet<Arc<str>> = (0..100_000)
        .map(|number| names.label(Some(&caller(&format!("stranger {number}"), false))))
        .collect();
    assert_eq!(labels.len(), MAX_UNNAMED + 1);
    assert!(labels.contains(OTHER));
    // Those that came first keep theirs, and room for the operators' own is apart.
    assert_eq!(&*names.label(Some(&caller("stranger 7", false))), "stranger 7");
    assert_eq!(&*names.label(Some(&caller("search", true))), "search");
    assert_eq!(names.others.lock().len(), MAX_UNNAMED);
}

/// Their tables can be thousands: an instrument's series are not.
#[test]
fn named_callers_share_a_series_when_there_are_too_many() {
    let names = CallerNames::default();
    let labels: HashSet<Arc<str>> = (0..5_000)
        .map(|number| names.label(Some(&caller(&format!("team {number}"), true))))
        .collect();
    assert_eq!(labels.len(), MAX_NAMED + 1);
    assert!(labels.contains(OTHER));
}

#[test]
fn no_credential_is_the_anonymous_caller() {
    let names = CallerNames::default();
    assert_eq!(&*names.label(None), ABANDONED);
    for named in [false, true] {
        assert_eq!(&*names.label(Some(&caller(ABANDONED, named))), OTHER);
    }
}
