// One tab at a time, whatever way the page came.
//
// Web Locks are there over TLS and on this machine alone. Elsewhere a lease in IndexedDB does: its transactions that
// write are one after another, of whichever tab they are, so that of two tabs one finds the lease taken. A tab that was
// closed with its lease holds the others up for as long as that lasts.

const NAME = "exportctl session";
const LEASE = 30_000;
const AGAIN = 100;

/** Run `act` while no other tab does; returns what it returns. */
export function alone(act) {
  return navigator.locks ? navigator.locks.request(NAME, act) : leased(act);
}

async function leased(act) {
  const db = await opened();
  const mine = crypto.getRandomValues(new Uint32Array(4)).join();
  try {
    const take = (lease) => (lease && lease.until > Date.now() ? lease : { owner: mine, until: Date.now() + LEASE });
    while ((await changed(db, take)).owner !== mine) await new Promise((resolve) => setTimeout(resolve, AGAIN));
    return await act();
  } finally {
    await changed(db, (lease) => (lease?.owner === mine ? null : lease));
    db.close();
  }
}

/** Put what `change` makes of the lease in its place, in one transaction; returns that. */
function changed(db, change) {
  return new Promise((resolve, reject) => {
    const transaction = db.transaction(NAME, "readwrite");
    const store = transaction.objectStore(NAME);
    let made;
    store.get(NAME).onsuccess = ({ target }) => store.put((made = change(target.result ?? null)), NAME);
    transaction.oncomplete = () => resolve(made);
    transaction.onabort = () => reject(transaction.error);
  });
}

function opened() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open("exportctl", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(NAME);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}
