//! The stack of the machine, its marks, and the memo.

use super::super::super::tree::{Place, Value};
use super::Refusal;
use super::machine::Machine;
use super::opcode::Opcode;

impl Machine<'_> {
    pub(super) fn push(&mut self, place: Place) -> Result<(), Refusal> {
        self.stack.push(place);
        Ok(())
    }

    pub(super) fn push_new(&mut self, value: impl Into<Value>) -> Result<(), Refusal> {
        let place = self.add(value)?;
        self.push(place)
    }

    pub(super) fn push_tuple(&mut self, items: Vec<Place>) -> Result<(), Refusal> {
        if items.is_empty() { self.push(self.empty) } else { self.push_new(Value::Tuple(items)) }
    }

    pub(super) fn top(&self) -> Result<Place, Refusal> {
        self.floor_below(1)?;
        self.stack.last().copied().ok_or_else(nothing_there)
    }

    /// Checks that `count` values stand above the last mark.
    pub(super) fn floor_below(&self, count: usize) -> Result<(), Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() < floor + count { Err(nothing_there()) } else { Ok(()) }
    }

    pub(super) fn pop(&mut self) -> Result<Place, Refusal> {
        self.floor_below(1)?;
        self.stack.pop().ok_or_else(nothing_there)
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Result<Vec<Place>, Refusal> {
        self.floor_below(count)?;
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Place>, Refusal> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        let mark = mark.ok_or_else(|| Refusal::Damaged("there is no mark".to_owned()))?;
        Ok(self.stack.split_off(mark))
    }

    /// POP takes a mark off where one is on top.
    pub(super) fn discard(&mut self) -> Result<(), Refusal> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    pub(super) fn get(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        let index = self.memo_index(opcode)?;
        let place = self.memo.get(&index).copied();
        self.push(place.ok_or_else(|| Refusal::Damaged(format!("nothing was kept under {index}")))?)
    }

    pub(super) fn put(&mut self, opcode: Opcode) -> Result<(), Refusal> {
        let index = self.memo_index(opcode)?;
        let place = self.top()?;
        self.memo.insert(index, place);
        Ok(())
    }

    pub(super) fn memo_index(&mut self, opcode: Opcode) -> Result<u32, Refusal> {
        match opcode {
            Opcode::BINGET | Opcode::BINPUT => Ok(self.input.byte()?.into()),
            Opcode::LONG_BINGET | Opcode::LONG_BINPUT => self.input.u32(),
            Opcode::MEMOIZE => Ok(self.memo.len() as u32),
            _ => {
                let line = self.input.line()?;
                line.parse().map_err(|_| Refusal::Damaged(format!("{line:?} is no place of the memo")))
            }
        }
    }
}

pub(super) fn nothing_there() -> Refusal {
    Refusal::Damaged("the stack has not enough values".to_owned())
}
