/**
 * <notification-bell>: keeps the number in the page's header true.
 *
 * The server has rendered it; over the websocket it is told again whenever it changes. A lost
 * connection is taken up again in silence: the number comes with it.
 */

const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 60_000;
const LOGGED_OUT = 4401;

class NotificationBell extends HTMLElement {
  #socket = null;
  #tries = 0;
  #retry = 0;
  #count = 0;

  connectedCallback() {
    this.#count = parseInt(this.#part("count").textContent, 10) || 0;
    this.#connect();
    addEventListener("pagehide", this.#close);
  }

  disconnectedCallback() {
    removeEventListener("pagehide", this.#close);
    this.#close();
  }

  #connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.#socket = new WebSocket(`${scheme}://${location.host}/ws/notifications/`);
    this.#socket.addEventListener("message", (message) => this.#show(JSON.parse(message.data)));
    this.#socket.addEventListener("close", (closed) => {
      if (closed.code !== LOGGED_OUT) this.#later();
    });
  };

  #later() {
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#tries++, LONGEST_RETRY_MS);
    this.#retry = setTimeout(this.#connect, wait * (0.5 + Math.random() / 2));
  }

  #close = () => {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  };

  #show({ count, more }) {
    this.#tries = 0;
    const text = more ? `${count}+` : String(count);
    this.#part("count").textContent = text;
    this.#part("count").hidden = count === 0;
    if (count > this.#count) this.#part("announcement").textContent = `${text} unread notifications`;
    this.#count = count;
  }

  #part(name) {
    return this.querySelector(`[data-bell=${name}]`);
  }
}

customElements.define("notification-bell", NotificationBell);
