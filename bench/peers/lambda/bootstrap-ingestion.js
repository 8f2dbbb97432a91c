import { handler, ready } from "./ingestion.js";
import { serve } from "./runtime.js";

ready.then(() => serve(handler));
