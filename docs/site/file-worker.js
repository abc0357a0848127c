// Search runs in a worker, and browsers refuse workers to pages that are opened from the disk. There, this script puts a
// hidden frame in the place of a worker: the same script, the same messages. From a server, it changes nothing.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.onmessage = this.onerror = null;
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.documentElement.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => this.heard(data);
      const script = inside.document.createElement("script");
      script.onload = () => this.start();
      script.onerror = () => this.onerror?.(new ErrorEvent("error"));
      script.src = new URL(address, location.href).href;
      inside.document.head.append(script);
    }
    start() {
      const waiting = this.waiting;
      this.waiting = null;
      waiting.forEach((data) => this.postMessage(data));
    }
    postMessage(data) {
      if (this.waiting) {
        this.waiting.push(data);
      } else if (this.frame) {
        const inside = this.frame.contentWindow;
        setTimeout(() => inside.dispatchEvent(new MessageEvent("message", { data })));
      }
    }
    heard(data) {
      const event = new MessageEvent("message", { data });
      setTimeout(() => {
        this.onmessage?.(event);
        this.dispatchEvent(event);
      });
    }
    terminate() {
      this.frame?.remove();
      this.frame = null;
    }
  };
}
