// What a TypeScript client sees of the server that is given as JSON: `ts.mjs TARGET sdk|legacy|auto`.
const [target, mode] = [JSON.parse(process.argv[2]), process.argv[3]];

let told = false;
const listChanged = { tools: { debounceMs: 0, onChanged: () => (told = true) } };

async function open() {
  if (mode === "sdk") {
    const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
    const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
    const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
    return [new Client({ name: "sdk", version: "1" }, { listChanged }), StreamableHTTPClientTransport, StdioClientTransport];
  }
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const client = new Client({ name: "client", version: "1" }, { versionNegotiation: { mode }, listChanged });
  return [client, StreamableHTTPClientTransport, StdioClientTransport];
}

const [client, Http, Stdio] = await open();
const transport = target.url ? new Http(new URL(target.url)) : new Stdio({ ...target, stderr: "inherit" });
let protocol;
const tell = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  protocol = version;
  tell?.(version);
};
await client.connect(transport);
const names = (items) => items.map((item) => item.name).sort();

const boom = await client.callTool({ name: "boom", arguments: {} });
const picture = (await client.callTool({ name: "picture", arguments: {} })).content[0];
const prompt = await client.getPrompt({ name: "letters:say", arguments: { expected: "007" } });
const episode = prompt._meta?.["hud/episode"];
const _meta = episode ? { "hud/episode": episode } : {};
await client.callTool({ name: "_hud_submit", arguments: { scenario: "say", answer: "007" }, _meta });
const graded = await client.readResource({ uri: "letters:say", _meta });
const resource = (await client.readResource({ uri: "letters://rules" })).contents[0].text;
for (let tries = 0; !told && tries < 100; tries++) {
  await client.callTool({ name: "reload", arguments: {} });
  await new Promise((resolve) => setTimeout(resolve, 100));
}
const report = {
  protocol: client.getNegotiatedProtocolVersion?.() ?? protocol,
  tools: names((await client.listTools()).tools),
  sum: (await client.callTool({ name: "add", arguments: { a: 2, b: 3 } })).content[0].text,
  error: [boom.isError, boom.content[0].text],
  picture: [picture.mimeType, picture.data],
  prompts: names((await client.listPrompts()).prompts),
  prompt: prompt.messages[0].content.text,
  resource,
  told,
  reward: JSON.parse(graded.contents[0].text).reward,
};
await client.close();
console.log(JSON.stringify(report));
