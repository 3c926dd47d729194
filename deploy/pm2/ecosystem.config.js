// pm2 start deploy/pm2/ecosystem.config.js
//
// Two agents that divide the work between them; `pm2 scale technical-analysis-agent 4` makes
// it four. Settings come from the environment pm2 is started in, over what stands here.

const path = require("path");

const binary = process.env.AGENT_BINARY || "/usr/local/bin/technical-analysis-agent";
const logs = process.env.PM2_LOG_DIR || path.join(process.env.HOME || "/tmp", "technical-analysis-logs");

module.exports = {
  apps: [
    {
      name: "technical-analysis-agent",
      // A native binary: no interpreter. The shell gives each instance a port and a name by its
      // number, and then is the agent (exec): PM2 sees one process, the right one.
      script: "/bin/sh",
      args: [
        "-c",
        'HTTP_ADDR="127.0.0.1:$((HTTP_BASE_PORT + NODE_APP_INSTANCE))"' +
          ' TECHNICAL_AGENT_NAME="$(uname -n)-$NODE_APP_INSTANCE"' +
          ' exec "$AGENT_BINARY" run',
      ],
      interpreter: "none",
      exec_mode: "fork",
      instances: 2,
      cwd: "/",
      env: {
        AGENT_BINARY: binary,
        HTTP_BASE_PORT: process.env.HTTP_BASE_PORT || "8081",
        NATS_URL: process.env.NATS_URL || "nats://127.0.0.1:4222",
        // PM2 has no watchdog: an agent that makes no progress for this long ends, with 70
        TECHNICAL_WATCHDOG_SECS: process.env.TECHNICAL_WATCHDOG_SECS || "30",
        LOG_FORMAT: "json",
      },

      // The agent answers over PM2's channel once it is connected and has joined its group.
      wait_ready: true,
      listen_timeout: 30000,
      // PM2 stops with SIGINT, which drains as SIGTERM does. Above SHUTDOWN_TIMEOUT (25 s).
      kill_timeout: 35000,

      autorestart: true,
      // Command line or configuration refused, and it would be again. Never 0: that is also
      // what PM2 takes a process for that was killed. (PM2 shows "waiting restart" and waits.)
      stop_exit_codes: [64, 78],
      exp_backoff_restart_delay: 500,
      max_memory_restart: "512M",

      // one file per instance: agent-0.log, agent-1.log …
      out_file: path.join(logs, "agent.log"),
      error_file: path.join(logs, "agent-error.log"),
    },
  ],
};
