-- Messages that wait for somebody stand in the account's archive, and no longer in a log of their own.
UPDATE archive SET log = 'archive' WHERE log = 'offline';
