// Embeds texts through voyage-gateway, as a Node service does it: several addresses, deadlines, retries, a credential
// for each call, and errors by their code.
//
//   npm install && node embed.mjs --gateway localhost:50051 "a text" "another"
//
// VOYAGE_GATEWAY_TOKEN_FILE names the file of the bearer token, if the gateway requires one.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const here = new URL(".", import.meta.url).pathname;

const { values: options, positionals: texts } = parseArgs({
  allowPositionals: true,
  options: {
    gateway: { type: "string", default: "localhost:50051" },
    "service-config": { type: "string", default: `${here}../../deploy/client/service_config.json` },
    proto: { type: "string", default: `${here}../../proto` },
    // Keep so many calls going until standard input ends, and count them.
    "until-eof": { type: "string" },
  },
});

/** A client that balances over all replicas; in Kubernetes, `dns:///NAME:50051` of a headless service lists them. */
function connect(gateway) {
  const definition = loadSync("voyage/gateway/v1/embedding_service.proto", {
    includeDirs: [options.proto],
    enums: String,
    defaults: true,
  });
  const { EmbeddingService } = grpc.loadPackageDefinition(definition).voyage.gateway.v1;
  // A list of numbers is no host's name.
  const list = gateway.includes(",");
  return new EmbeddingService(list ? `ipv4:${gateway}` : gateway, grpc.credentials.createInsecure(), {
    "grpc.service_config": readFileSync(options["service-config"], "utf8"),
    ...(list && { "grpc.default_authority": "voyage-gateway" }),
  });
}

/** The token, which is read for every call: the kubelet renews its file. */
function credential() {
  const metadata = new grpc.Metadata();
  const file = process.env.VOYAGE_GATEWAY_TOKEN_FILE;
  if (file) metadata.set("authorization", `Bearer ${readFileSync(file, "utf8").trim()}`);
  return metadata;
}

/** One call, as a promise. */
function embed(client, inputs, milliseconds) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + milliseconds;
    client.embed({ inputs }, credential(), { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

/** Keeps calls going and counts their ends. */
async function untilEof(client, workers) {
  let ended = false;
  process.stdin.resume().on("end", () => (ended = true));
  let answered = 0;
  const failed = {};
  const work = async (worker) => {
    for (let call = 0; !ended; call++) {
      try {
        const reply = await embed(client, [`node ${worker} ${call}`], 30_000);
        if (reply.embeddings.length === 1 && ++answered === 1) console.log("answered");
      } catch (error) {
        const reason = `${grpc.status[error.code]}: ${error.details}`;
        failed[reason] = (failed[reason] ?? 0) + 1;
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  console.log(JSON.stringify({ answered, failed }));
}

const client = connect(options.gateway);
if (options["until-eof"]) {
  await untilEof(client, Number(options["until-eof"]));
} else {
  try {
    const reply = await embed(client, texts, 10_000);
    reply.embeddings.forEach((embedding, i) => {
      console.log(`${texts[i]}\t${embedding.values.length} numbers\t${embedding.cacheStatus}`);
    });
  } catch (error) {
    console.error(`${grpc.status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  }
}
client.close();
