//! Reserved tokens are settled or refunded, and none are lost.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

fn account() -> Arc<Account> {
    Account::new([MINUTE, DAY], Instant::now())
}

/// The end of a charge.
#[derive(Clone, Copy, Debug)]
enum End {
    Settled(u64),
    Dropped,
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![(0..2_000_u64).prop_map(End::Settled), Just(End::Dropped)]
}

proptest! {
    #[test]
    fn used_is_what_was_billed(
        charges in prop::collection::vec((prop::option::of(1..1_000_u64), ends()), 0..60),
    ) {
        let runtime = &mut tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
            let (own, gateway) = (account(), account());
            let (mut held, mut open) = (0, Vec::new());
            for (reserve, end) in charges {
                let mut charge = Charge::default();
                for account in [&own, &gateway] {
                    match reserve {
                        Some(tokens) => {
                            charge.reserve(account, [None, None], tokens, Instant::now()).unwrap();
                        }
                        None => charge.name(account, [None; 2]),
                    }
                }
                held += reserve.unwrap_or(0);
                open.push((charge, end));
            }
            prop_assert_eq!(own.used(Instant::now()), [held; 2]);
            let mut billed = 0;
            // The last first: they may end in any order.
            for (charge, end) in open.into_iter().rev() {
                match end {
                    End::Settled(tokens) => {
                        charge.settle(tokens);
                        billed += tokens;
                    }
                    End::Dropped => drop(charge),
                }
            }
            prop_assert_eq!(own.used(Instant::now()), [billed; 2]);
            prop_assert_eq!(gateway.used(Instant::now()), [billed; 2]);
            Ok(())
        })?;
    }

    #[test]
    fn the_parts_of_a_charge_hold_the_whole(needs in prop::collection::vec(1..500_u64, 1..50)) {
        let (account, now) = (account(), Instant::now());
        let mut whole = Charge::default();
        let total: u64 = needs.iter().sum();
        whole.reserve(&account, [Some(total), None], total, now).unwrap();
        let parts: Vec<Charge> = needs.iter().map(|&need| whole.split_off(need)).collect();
        drop(whole);
        prop_assert_eq!(account.used(now), [total; 2]);
        for (part, need) in parts.into_iter().zip(needs) {
            let before = account.used(now)[0];
            drop(part);
            prop_assert_eq!(account.used(now)[0], before - need);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_that_is_full_longest_is_named() {
    let (account, now) = (account(), Instant::now());
    let reserve = |limits, tokens| {
        let mut charge = Charge::default();
        charge.reserve(&account, limits, tokens, now).map(|()| charge)
    };
    let _held = reserve([Some(100), Some(150)], 100).unwrap();
    let minute = reserve([Some(100), Some(150)], 50).unwrap_err();
    assert_eq!((minute.window, minute.limit), (0, 100));
    assert!(minute.retry_after.unwrap() <= MINUTE + MINUTE / 100);
    let day = reserve([Some(100), Some(150)], 51).unwrap_err();
    assert_eq!((day.window, day.limit), (1, 150));
    assert!(day.retry_after.unwrap() >= DAY);
    let never = reserve([Some(100), Some(150)], 101).unwrap_err();
    assert_eq!((never.window, never.retry_after), (0, None));
    // A refusal holds nothing.
    assert_eq!(account.used(now), [100; 2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_settled_after_its_window_is_not_refunded_twice() {
    let account = account();
    let mut charge = Charge::default();
    charge.reserve(&account, [Some(100), Some(1000)], 100, Instant::now()).unwrap();
    tokio::time::advance(2 * MINUTE).await;
    let mut second = Charge::default();
    second.reserve(&account, [Some(100), Some(1000)], 80, Instant::now()).unwrap();
    charge.settle(30);
    assert_eq!(account.used(Instant::now()), [80, 110]);
    second.settle(90);
    assert_eq!(account.used(Instant::now()), [90, 120]);
}
