/** What a view holds while it is on screen: requests, object URLs, timers. Leaving it lets all of them go. */

export class Scope {
  constructor(parent = null) {
    this.controller = new AbortController();
    this.endings = new Set();
    if (parent) this.onClose(parent.onClose(() => this.close()));
  }

  get signal() {
    return this.controller.signal;
  }

  get closed() {
    return this.signal.aborted;
  }

  /** Call once the scope is closed, at once if it is; what is returned forgets the call. */
  onClose(ending) {
    if (this.closed) ending();
    else this.endings.add(ending);
    return () => this.endings.delete(ending);
  }

  /** Return an object URL that is revoked with the scope. */
  url(blob) {
    const url = URL.createObjectURL(blob);
    this.onClose(() => URL.revokeObjectURL(url));
    return url;
  }

  /** Listen on the window or document for as long as the scope is open. */
  listen(target, type, listener) {
    target.addEventListener(type, listener, { signal: this.signal });
  }

  /** Call once after a while, unless the scope is closed before. */
  later(ms, act) {
    const timer = setTimeout(() => { forget(); act(); }, ms);
    const forget = this.onClose(() => clearTimeout(timer));
  }

  close() {
    if (this.closed) return;
    this.controller.abort();
    for (const ending of this.endings) ending();
    this.endings.clear();
  }
}
