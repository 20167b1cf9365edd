//! Compares what a checkpoint of the program would need by now with what the volume has: a program grows, and so does what others keep
//! there.

use crate::store::image_dir::retention::RoomError;

/// What was said last.
#[derive(Debug, Default)]
pub struct Room {
    lacks: bool,
}

/// What is to be said.
#[derive(Debug)]
pub enum News {
    /// There is too little room, for this reason.
    Lacks(RoomError),
    /// There is enough again.
    Enough,
}

impl Room {
    /// What is new, if anything is, where it was found that a checkpoint is `lacking` room, or is not.
    pub fn news(&mut self, lacking: Option<RoomError>) -> Option<News> {
        let before = std::mem::replace(&mut self.lacks, lacking.is_some());
        match lacking {
            Some(why) => (!before).then_some(News::Lacks(why)),
            None => before.then_some(News::Enough),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_again_when_it_changes() {
        let mut room = Room::default();
        let lacking = || Some(RoomError::TooLittle { free: 1, needed: 2 });
        assert!(room.news(None).is_none());
        for _ in 0..2 {
            assert!(matches!(room.news(lacking()), Some(News::Lacks(_))));
            assert!(room.news(lacking()).is_none());
            assert!(matches!(room.news(None), Some(News::Enough)));
            assert!(room.news(None).is_none());
        }
    }
}
