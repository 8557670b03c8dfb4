//! The texts and queries of the demo.

/// The texts to search.
pub(super) const TEXTS: &[&str] = &[
    "Bread stays fresh for days when it is kept in a cloth bag.",
    "Stale bread makes the best croutons and bread pudding.",
    "Let the dough rise until it has doubled in size.",
    "A pinch of salt brings out the sweetness of chocolate.",
    "Sharpen kitchen knives on a wet stone, never on a dry one.",
    "Cast iron pans want a thin coat of oil after every wash.",
    "The last train to the coast leaves at half past eleven.",
    "Trains in the mountains run every hour, also in winter.",
    "Buy the ferry ticket at the harbour; it is cheaper than on board.",
    "A night train saves the price of a hotel.",
    "Tomatoes need six hours of sun and water at their roots.",
    "Plant garlic in autumn and harvest it the next summer.",
    "Slugs stay away from seedlings that are ringed with ash.",
    "Prune apple trees in late winter, before the buds swell.",
    "The cat sleeps on the warm roof of the greenhouse.",
    "A puppy needs short walks, many of them, and patience.",
    "Parrots live for decades and learn hundreds of words.",
    "Rust refuses to compile a program with a data race.",
    "A cache that returns the wrong vector is worse than no cache.",
    "Retry a failed request later, with jitter, and not for ever.",
    "Write the test that fails before the code that passes.",
    "The moon pulls the oceans into two tides a day.",
    "Saturn would float in a bathtub large enough for it.",
    "Light from the sun takes eight minutes to reach the earth.",
];

/// The queries.
pub(super) const QUERIES: &[&str] = &[
    "how do I keep my bread fresh?",
    "when does the train to the coast leave?",
    "how much sun and water do tomatoes need?",
    "should I retry a request that failed?",
];

/// The chunks of one document.
pub(super) const CHUNKS: &[&str] = &[
    "The annual report of the ferry company.",
    "It carried two million passengers, a tenth more than in the year before.",
    "Tickets become cheaper in March.",
];

/// The query about the document.
pub(super) const CHUNK_QUERY: &str = "when do ferry tickets become cheaper?";
