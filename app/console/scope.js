/** What a view holds while it is on screen: requests, object URLs, timers. Leaving it lets all of them go. */

export class Scope {
  constructor(parent = null) {
    this.controller = new AbortController();
    this.endings = [];
    parent?.onClose(() => this.close());
  }

  get signal() {
    return this.controller.signal;
  }

  get closed() {
    return this.signal.aborted;
  }

  onClose(ending) {
    this.endings.push(ending);
  }

  /** Return an object URL that is revoked with the scope. */
  url(blob) {
    const url = URL.createObjectURL(blob);
    if (this.closed) URL.revokeObjectURL(url);
    else this.onClose(() => URL.revokeObjectURL(url));
    return url;
  }

  /** Listen on the window or document for as long as the scope is open. */
  listen(target, type, listener) {
    target.addEventListener(type, listener, { signal: this.signal });
  }

  /** Call once after a while, unless the scope is closed before. */
  later(ms, act) {
    const timer = setTimeout(act, ms);
    this.onClose(() => clearTimeout(timer));
  }

  close() {
    if (this.closed) return;
    this.controller.abort();
    for (const ending of this.endings.splice(0)) ending();
  }
}
