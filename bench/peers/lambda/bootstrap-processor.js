import { handler, ready } from "./processor.js";
import { serve } from "./runtime.js";

ready.then(() => serve(handler));
