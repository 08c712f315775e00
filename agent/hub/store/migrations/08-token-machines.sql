-- The connector that was last seen with each token, by which a token is found from its machine.

ALTER TABLE tokens ADD COLUMN connector TEXT;
