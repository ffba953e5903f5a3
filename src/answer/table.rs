//! The answer table: compiled, immutable, one generation.

/// What queries are answered from.
#[derive(Debug, Default)]
pub struct AnswerTable {
    generation: u64,
    answer_counters: usize,
}

impl AnswerTable {
    /// Which generation this is; later ones are greater.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many counters of steered answers a worker needs for it; never fewer than for an earlier generation
    /// of the same process, and a counter keeps its meaning.
    #[must_use]
    pub fn answer_counters(&self) -> usize {
        self.answer_counters
    }
}
