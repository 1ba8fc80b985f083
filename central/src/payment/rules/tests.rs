use proptest::prelude::*;

use super::*;

const DEADLINE: Instant = Instant(1_000_000);

fn standing(state: PaymentState, asked: u32) -> Standing {
    Standing {
        state,
        asked,
        deadline: DEADLINE,
    }
}

fn any_heard() -> impl Strategy<Value = Heard> {
    prop_oneof![
        Just(Heard::Yes),
        Just(Heard::No),
        Just(Heard::Waiting),
        Just(Heard::NeverHeard),
        Just(Heard::NoWord),
    ]
}

/// A payment as the service keeps it, driven by callbacks, polls and retries alike: each of them
/// only leads to a question whose answer is heard.
struct Kept {
    standing: Standing,
    captures: u32,
    refunded: i64,
}

impl Kept {
    fn hear(&mut self, heard: Heard, now: Instant) -> Step {
        let step = hear(self.standing, heard, now);
        self.standing.asked += 1;
        match step {
            Step::Rest => {}
            Step::Wait(state, at) => {
                assert!(at > now, "{at:?} {now:?}");
                self.standing.state = state;
            }
            Step::Capture => {
                self.captures += 1;
                self.standing.state = PaymentState::Captured;
            }
            Step::Fail => self.standing.state = PaymentState::Failed,
            Step::Expire(at) => {
                assert!(at.is_none_or(|at| at > now));
                self.standing.state = PaymentState::Expired;
            }
        }
        step
    }
}

proptest! {
    #[test]
    fn no_sequence_of_answers_captures_twice_or_refunds_more_than_came(
        heard in prop::collection::vec((any_heard(), 0i64..400_000), 1..60),
        refunds in prop::collection::vec(-5i64..120, 0..30),
    ) {
        let mut kept = Kept {
            standing: standing(PaymentState::Intent, 0),
            captures: 0,
            refunded: 0,
        };
        let mut now = Instant(0);
        let said_yes = heard.iter().any(|(h, _)| *h == Heard::Yes);
        for (heard, later) in heard {
            now = now.plus_ms(later);
            kept.hear(heard, now);
            prop_assert!(kept.captures <= 1);
            if now > DEADLINE {
                prop_assert!(!kept.standing.state.is_live());
            }
        }
        prop_assert_eq!(kept.captures, u32::from(said_yes));
        let paid = if kept.captures == 1 { 1_000 } else { 0 };
        for wanted in refunds {
            if let Ok(parts) = allocate(Minor(wanted), &[Minor(paid - kept.refunded)]) {
                let sum: i64 = parts.iter().map(|(_, part)| part.0).sum();
                prop_assert_eq!(sum, wanted);
                kept.refunded += sum;
            }
        }
        prop_assert!(kept.refunded <= paid);
    }

    #[test]
    fn no_sequence_of_answers_returns_the_money_twice(
        heard in prop::collection::vec(any_heard(), 1..100),
    ) {
        let (mut state, mut done) = (RefundState::Requested, 0);
        for (asked, heard) in (0u32..).zip(heard) {
            match hear_refund(state, asked, heard, Instant(0)) {
                RefundStep::Rest => {}
                RefundStep::Wait(next, at) => {
                    prop_assert!(at > Instant(0));
                    prop_assert!(state != RefundState::Pending || next == RefundState::Pending);
                    state = next;
                }
                RefundStep::Finish => {
                    done += 1;
                    state = RefundState::Done;
                }
                RefundStep::Fail => state = RefundState::Failed,
            }
        }
        prop_assert!(done <= 1);
    }

    #[test]
    fn parts_of_a_refund_sum_to_it_and_no_payment_gives_more_than_it_has(
        wanted in 1i64..1_000,
        left in prop::collection::vec(-10i64..400, 0..5),
    ) {
        let left: Vec<Minor> = left.into_iter().map(Minor).collect();
        let most: i64 = left.iter().map(|m| m.0.max(0)).sum();
        match allocate(Minor(wanted), &left) {
            Ok(parts) => {
                prop_assert_eq!(parts.iter().map(|(_, p)| p.0).sum::<i64>(), wanted);
                for (index, part) in parts {
                    prop_assert!(part.0 > 0 && part <= left[index]);
                }
            }
            Err(refused) => {
                prop_assert!(wanted > most);
                prop_assert_eq!(refused.left, Minor(most));
            }
        }
    }
}

#[test]
fn a_payment_without_an_answer_expires_after_a_last_question_and_money_that_comes_late_counts() {
    let pending = standing(PaymentState::Pending, 3);
    let before = hear(pending, Heard::Waiting, Instant(DEADLINE.0 - 10));
    assert_eq!(before, Step::Wait(PaymentState::Pending, DEADLINE));
    let at = hear(pending, Heard::NoWord, DEADLINE);
    assert_eq!(at, Step::Expire(Some(DEADLINE.plus_ms(600_000))));
    let expired = standing(PaymentState::Expired, 9);
    let later = DEADLINE.plus_ms(600_000);
    let waits = Step::Wait(PaymentState::Expired, DEADLINE.plus_ms(3_600_000));
    assert_eq!(hear(expired, Heard::Waiting, later), waits);
    assert_eq!(hear(expired, Heard::Yes, later), Step::Capture);
    let much_later = DEADLINE.plus_ms(300_000_000);
    assert_eq!(hear(expired, Heard::Waiting, much_later), Step::Rest);
}

#[test]
fn a_provider_that_never_heard_of_an_intent_is_told_again() {
    let intent = standing(PaymentState::Intent, 1);
    let step = hear(intent, Heard::NeverHeard, Instant(0));
    assert_eq!(step, Step::Wait(PaymentState::Intent, Instant(2_000)));
}
