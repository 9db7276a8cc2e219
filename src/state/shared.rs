//! Saved parts that the training loop and a program's own functions share.
//!
//! A replay buffer is filled by the function that makes batches and saved by the loop, so both have to hold it.

use std::cell::{Ref, RefCell, RefMut};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BegunCopies, State, StateError, Stateful};

/// A part that several places of one thread hold. Each must give its borrow back before the part is saved.
impl<P: Stateful + ?Sized> Stateful for Rc<RefCell<P>> {
    fn save(&self) -> Result<State, StateError> {
        lent(self)?.save()
    }

    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        lent(self)?.save_into(state)
    }

    fn begin_save(&self, state: &mut State, begun: &mut BegunCopies) -> Result<(), StateError> {
        lent(self)?.begin_save(state, begun)
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        lent(self)?.check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        lent_mut(self)?.load(state)
    }
}

fn lent<P: ?Sized>(part: &RefCell<P>) -> Result<Ref<'_, P>, StateError> {
    part.try_borrow().map_err(|_| in_use())
}

fn lent_mut<P: ?Sized>(part: &RefCell<P>) -> Result<RefMut<'_, P>, StateError> {
    part.try_borrow_mut().map_err(|_| in_use())
}

fn in_use() -> StateError {
    StateError::Unable("it is still borrowed; drop what `borrow` or `borrow_mut` returned before a save".to_owned())
}

/// A part that several threads hold.
impl<P: Stateful + ?Sized> Stateful for Arc<Mutex<P>> {
    fn save(&self) -> Result<State, StateError> {
        locked(self).save()
    }

    fn save_into(&self, state: &mut State) -> Result<(), StateError> {
        locked(self).save_into(state)
    }

    fn begin_save(&self, state: &mut State, begun: &mut BegunCopies) -> Result<(), StateError> {
        locked(self).begin_save(state, begun)
    }

    fn check(&self, state: &State) -> Result<(), StateError> {
        locked(self).check(state)
    }

    fn load(&mut self, state: &State) -> Result<(), StateError> {
        locked(self).load(state)
    }
}

fn locked<P: ?Sized>(part: &Mutex<P>) -> MutexGuard<'_, P> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Counter(u64);

    impl Stateful for Counter {
        fn save(&self) -> Result<State, StateError> {
            Ok(State::from_json(self.0.into()))
        }

        fn check(&self, state: &State) -> Result<(), StateError> {
            state.json.as_u64().map(drop).ok_or_else(|| StateError::Malformed("not a count".into()))
        }

        fn load(&mut self, state: &State) -> Result<(), StateError> {
            self.check(state)?;
            self.0 = state.json.as_u64().unwrap_or_default();
            Ok(())
        }
    }

    #[test]
    fn a_shared_part_is_saved_and_restored_for_all_who_hold_it() {
        let (counter, other) = (Rc::new(RefCell::new(Counter(3))), Arc::new(Mutex::new(Counter(4))));
        counter.borrow_mut().0 += 1;
        other.lock().unwrap().0 += 1;
        assert_eq!([counter.save().unwrap().json, other.save().unwrap().json], [json!(4), json!(5)]);
        Rc::clone(&counter).load(&State::from_json(json!(9))).unwrap();
        Arc::clone(&other).load(&State::from_json(json!(8))).unwrap();
        assert_eq!((counter.borrow().0, other.lock().unwrap().0), (9, 8));
        assert!(counter.check(&State::from_json(json!("no"))).is_err());
    }

    #[test]
    fn a_part_that_is_borrowed_while_it_is_saved_is_an_error_and_no_panic() {
        let counter = Rc::new(RefCell::new(Counter(3)));
        let held = counter.borrow_mut();
        let error = counter.save().unwrap_err().to_string();
        assert!(error.starts_with("it is still borrowed; drop"), "{error}");
        drop(held);
        assert!(counter.save().is_ok());
    }
}
