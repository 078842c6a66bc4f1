"""Models compared over several seeds each, with verdicts whose error rates are known."""
